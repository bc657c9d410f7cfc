"""Options of the ``bananas`` searcher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from nasforge.config import PluginConfig

__all__ = ["BananasConfig"]


class BananasConfig(PluginConfig):
    """Length of the search, the predictors, and how candidates are made."""

    evaluations: PositiveInt = 150
    """How many architectures to evaluate."""

    initial: int = Field(10, ge=2)
    """How many random architectures are evaluated before predictors are fitted."""

    batch: PositiveInt = 10
    """After how many evaluations predictors are fitted anew."""

    predictor: Literal["forest", "mlp"] = "forest"
    """What predicts scores: "forest" (randomised trees, fast), or "mlp" (networks, as published)."""

    members: int = Field(5, ge=2)
    """How many predictors there are; their disagreement says what is uncertain."""

    parents: PositiveInt = 10
    """How many of the best architectures candidates descend from."""

    candidates: PositiveInt = 100
    """How many candidates are made before each choice of a batch."""

    mutations: PositiveInt = 1
    """In how many answers a candidate differs from its parent, at most."""
