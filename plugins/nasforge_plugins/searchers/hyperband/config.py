"""Options of the ``hyperband`` searcher."""

from __future__ import annotations

from nasforge_plugins.searchers.successive_halving.config import RungsConfig

__all__ = ["HyperbandConfig"]


class HyperbandConfig(RungsConfig):
    """Budgets and length of the search; the budgets decide how many architectures each rung has."""
