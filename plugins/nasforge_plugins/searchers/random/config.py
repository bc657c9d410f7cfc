"""Options of the ``random`` searcher."""

from __future__ import annotations

from pydantic import PositiveInt

from nasforge.config import BudgetedConfig

__all__ = ["RandomConfig"]


class RandomConfig(BudgetedConfig):
    """How long to search."""

    evaluations: PositiveInt = 100
    """How many architectures to evaluate."""
