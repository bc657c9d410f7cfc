"""Options of the ``bananas`` searcher."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from nasforge.config import BudgetedConfig
from nasforge_plugins.predictors.options import PredictorName, PredictorOptions

__all__ = ["BananasConfig"]


class BananasConfig(BudgetedConfig, PredictorOptions):
    """Length of the search, the predictors, and how candidates are made."""

    evaluations: PositiveInt = 150
    """How many architectures to evaluate."""

    predictor: PredictorName = "mlp"
    """The model of scores: "mlp" (networks of three layers), "bananas" (the published networks, of ten
    layers), "gp" (a Gaussian process), "forest" (trees that split at random, fast), "random-forest" (trees on
    drawn samples), or "boosting" (trees that correct each other)."""

    initial: int = Field(10, ge=2)
    """How many random architectures are evaluated before predictors are fitted."""

    batch: PositiveInt = 10
    """After how many evaluations predictors are fitted anew."""

    parents: PositiveInt = 10
    """How many of the best architectures candidates descend from."""

    candidates: PositiveInt = 100
    """How many candidates are made before each choice of a batch."""

    mutations: PositiveInt = 1
    """In how many answers a candidate differs from its parent, at most."""
