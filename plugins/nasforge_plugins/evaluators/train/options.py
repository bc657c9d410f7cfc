"""Groups of options of the ``train`` evaluator."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from nasforge.config import PluginConfig

__all__ = ["EmaOptions"]


class EmaOptions(PluginConfig):
    """Exponential moving average of the weights (Polyak and Juditsky, 1992).

    With an average, it is scored, tested and stored instead of the weights that are trained.
    """

    decay: float = Field(0.0, ge=0, lt=1)
    """Share of the average that an update keeps, such as 0.9999; 0.99 to 0.999 for a few thousand updates. 0
    computes no average."""

    warmup: bool = True
    """Whether update n, from 0, keeps at most (1 + n) / (10 + n), as TensorFlow's average does: the initial
    weights are soon forgotten."""

    every: PositiveInt = 1
    """Steps of the optimiser between two updates of the average."""
