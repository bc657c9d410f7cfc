"""Options of the evaluator."""

from typing import Literal

from nasforge.config import EvaluatorConfig
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

__all__ = ["CommonCorruptionsEvaluatorConfig", "Kind"]

Kind = Literal["noise", "blur", "contrast", "brightness", "pixelate"]


class CommonCorruptionsEvaluatorConfig(EvaluatorConfig):
    """How a network is trained, and what it must bear."""

    epochs: PositiveInt = 10
    """Passes over the training images; a searcher's budget replaces it."""

    batch_size: PositiveInt = 64
    """Images per batch."""

    lr: PositiveFloat = 0.05
    """Learning rate of SGD with momentum 0.9; it falls to 0 by half a cosine."""

    weight_decay: NonNegativeFloat = 3e-4
    """Decay of all weights."""

    corruptions: tuple[Kind, ...] = Field(
        ("noise", "blur", "contrast", "brightness", "pixelate"), min_length=1
    )
    """How images are spoilt. The network is trained on clean ones."""

    severities: tuple[PositiveInt, ...] = Field((1, 3, 5), min_length=1)
    """How much: 1 is hardly seen, 5 is hard for people too."""

    clean_share: float = Field(0.5, ge=0, le=1)
    """Share of the clean accuracy in the score; the rest is the mean accuracy over all corruptions."""

    def reports(self) -> frozenset[str]:
        """Return the metrics of an evaluation: what a search can have as an objective."""
        kinds = ("clean", "corrupted", *self.corruptions)
        return frozenset({"params", "macs", *(f"{kind}_accuracy" for kind in kinds)})
