"""Options of the ``predictor`` evaluator."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveInt

from nasforge.config import EvaluatorConfig
from nasforge_plugins.predictors.options import PredictorOptions

__all__ = ["PredictorConfig"]


class PredictorConfig(PredictorOptions, EvaluatorConfig):
    """When to evaluate, when to predict. The evaluator it builds on is the table ``[evaluator.base]``."""

    initial: int = Field(30, ge=5)
    """How many architectures are evaluated before any is predicted; for each budget that a searcher asks."""

    share: float = Field(0.1, ge=0, le=1)
    """Share of the predicted architectures that are evaluated because they look best: those whose prediction
    is among so many of the last hundred. A search needs some, since its answer is an evaluated one."""

    every: NonNegativeInt = 20
    """After so many predictions without an evaluation the next architecture is evaluated in any case,
    so that the predictor also learns where it expects little. 0 for never."""

    refit: PositiveInt = 5
    """After how many further evaluations the predictor is fitted anew."""

    folds: int = Field(5, ge=2, le=5)
    """Parts of the cross-validation that measures how well the predictor ranks what it has not seen."""

    def reports(self) -> frozenset[str]:
        """Return what it adds to every evaluation of its base; what it says of a model comes later."""
        return frozenset({"evaluated"})
