"""Options of the ``bananas`` searcher."""

from __future__ import annotations

from typing import Literal

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

    batch: PositiveInt | Literal["workers"] = 10
    """After how many evaluations predictors are fitted anew; with `asynchronous`, how many are under way at
    the same time. "workers" takes two for each of `run.workers` when the search begins, and keeps the
    number."""

    asynchronous: bool = False
    """Whether predictors are fitted anew for every proposal, and one is made whenever fewer than `batch` are
    pending. Published is to wait until a whole batch has been evaluated, for which workers wait too."""

    parents: PositiveInt = 10
    """How many of the best architectures candidates descend from."""

    candidates: PositiveInt = 100
    """How many candidates are made before each choice of a batch."""

    mutations: PositiveInt = 1
    """In how many answers a candidate differs from its parent, at most."""
