"""Options of the ``asha`` searcher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from nasforge_plugins.searchers.successive_halving.config import RungsConfig

__all__ = ["AshaConfig"]


class AshaConfig(RungsConfig):
    """Budgets and length of the search, how many are promoted, and how many are evaluated at a time."""

    eta: float = Field(3.0, gt=1)
    """One in so many of a rung is promoted to the next. Budgets that grow by this factor are the published
    ones."""

    batch: PositiveInt | Literal["workers"] = 1
    """How many evaluations are under way at the same time. It changes what is found; the number of workers
    does not. "workers" takes two for each of `run.workers` when the search begins, and keeps the number."""
