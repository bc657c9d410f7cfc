"""Options of the ``successive-halving`` searcher, and what they share with ``hyperband``."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, PositiveInt, field_validator

from nasforge.config import BudgetedConfig

__all__ = ["RungsConfig", "SuccessiveHalvingConfig"]


class RungsConfig(BudgetedConfig):
    """Budgets and length of a search that gives more of it to the better."""

    evaluations: PositiveInt = 200
    """Number of evaluations, of any budget; rounds follow each other until then."""

    budgets: tuple[PositiveInt, ...] = Field((4, 12, 36), min_length=2)
    """The budget of every rung, smallest first, in the unit of the evaluator (epochs)."""

    @field_validator("budgets")
    @classmethod
    def _rise(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if any(small >= large for small, large in pairwise(budgets)):
            raise ValueError("each must be larger than the one before")
        return budgets


class SuccessiveHalvingConfig(RungsConfig):
    """Number of starts and of promotions."""

    first: PositiveInt = 27
    """How many architectures start a round, on the first rung."""

    eta: float = Field(3.0, gt=1)
    """One in so many of a rung is promoted to the next."""
