"""Options of the ``grid`` searcher."""

from __future__ import annotations

from pydantic import PositiveInt

from nasforge.config import BudgetedConfig

__all__ = ["GridConfig"]


class GridConfig(BudgetedConfig):
    """How much of the space to evaluate."""

    evaluations: PositiveInt | None = None
    """How many architectures to evaluate, from the first on; None for all."""
