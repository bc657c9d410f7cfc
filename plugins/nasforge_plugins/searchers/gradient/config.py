"""Options of the searchers that make epochs; the defaults are those of first-order DARTS on CIFAR-10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from nasforge_plugins.searchers.gradient.options import PerturbationOptions, SupernetOptions

__all__ = ["GradientConfig"]


class GradientConfig(SupernetOptions):
    """Relaxation, regularisers, perturbation, order and schedule, combined at will.

    With a [distiller] table, an evaluation network of the derived architecture learns beside the search
    network, and both teach each other.
    """

    moved_options: ClassVar[Mapping[str, str]] = {
        **SupernetOptions.moved_options,
        "perturbation": "perturbation.kind",
        "epsilon": "perturbation.epsilon",
        "attack_steps": "perturbation.steps",
    }

    epochs: PositiveInt = 50
    """Passes over the weights split; one is one step."""

    lr: PositiveFloat = 0.025
    """Learning rate of the search network, at the start of half a cosine."""

    min_lr: NonNegativeFloat = 1e-3
    """Learning rate at the end of the cosine."""

    order: Literal[1, 2] = 1
    """Order of the architecture's gradient: 1 takes the weights as they are, 2 as they would be after their
    next step (DARTS, Eq. 6 to 8), which costs three more passes and cannot be combined with a distiller."""

    partial_channels: PositiveInt = 1
    """Options see one channel in so many, the others pass by (PC-DARTS: 4), if the space can; 1 leaves it to
    the space."""

    perturbation: PerturbationOptions = Field(default_factory=PerturbationOptions)
    """The disturbance of option weights while the network learns."""

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves nothing of epochs = {self.epochs} to search "
                "with; raise epochs"
            )
        if self.perturbation.kind != "none" and self.relaxation.kind == "gumbel":
            raise ValueError(
                f'perturbation.kind = "{self.perturbation.kind}" disturbs weights, and relaxation.kind = '
                '"gumbel" runs one option without any; choose another relaxation'
            )
        if self.regularizers.zero_one and self.relaxation.kind != "sigmoid":
            raise ValueError(
                f'regularizers.zero_one = {self.regularizers.zero_one} needs relaxation.kind = "sigmoid": '
                "weights that add up to 1 cannot all be near 0 or 1; set zero_one = 0"
            )
        return self
