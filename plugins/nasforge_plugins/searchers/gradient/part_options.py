"""Options of the parts that give cells weights of their own, or stop training single operations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from nasforge.config import PluginConfig

__all__ = ["AlignmentOptions", "EarlyStoppingOptions", "MutationOptions"]


Probability = Annotated[float, Field(ge=0, le=1)]


class MutationOptions(PluginConfig):
    """Edges that run one operation with weights alone, while the network learns (EM-DARTS)."""

    probability: tuple[Probability, Probability] = (0.0, 0.0)
    """Probability that an edge of a cell mutates in a batch, in the first epoch and behind the last one; a
    line in between. The default never mutates (EM-DARTS: 0 to 0.2 on NAS-Bench-201, 0 to 0.125 on DARTS)."""


class AlignmentOptions(PluginConfig):
    """Alignment of the gradients that equal cells have in their option weights (Λ-DARTS)."""

    strength: NonNegativeFloat = 0.0
    """λ in the last epoch, rising on a line from 0 in the first one; 0 for none (Λ-DARTS: 0.125 on DARTS,
    0.25 on NAS-Bench-201). Costs two more forward and backward passes for every batch."""

    epsilon: PositiveFloat = 1e-4
    """Length of the step in the option weights whose difference of gradients is taken. Under bfloat16, it is
    below the precision of the weights."""


class EarlyStoppingOptions(PluginConfig):
    """Operations that stop learning when training and validation gradients disagree (OLES)."""

    threshold: float | None = Field(default=None, ge=-1, le=1)
    """An operation stops learning when the mean cosine of its gradients is below this; unset never stops
    (OLES: 0.4)."""

    interval: PositiveInt = 20
    """Measurements between two judgements of an operation, one per batch."""

    compare: Literal["sum", "validation"] = "sum"
    """Gradient that is compared with that of training: the "validation" gradient, as in the paper, or the
    "sum" of both, as in the published code, to which the published threshold belongs."""
