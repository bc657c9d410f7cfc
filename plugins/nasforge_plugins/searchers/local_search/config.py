"""Options of the ``local-search`` searcher."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from nasforge.config import BudgetedConfig

__all__ = ["LocalSearchConfig"]


class LocalSearchConfig(BudgetedConfig):
    """Length of the search, where climbs start and how they move."""

    evaluations: PositiveInt = 300
    """How many architectures to evaluate."""

    starts: PositiveInt = 10
    """How many random architectures are evaluated before each climb; it starts from the best of them."""

    move: Literal["first", "best"] = "first"
    """When to move: "first" as soon as a neighbour is better, "best" to the best after all were evaluated."""

    batch: PositiveInt = 1
    """How many neighbours are evaluated before "first" looks whether one is better. For `run.workers`; it
    changes what is found."""
