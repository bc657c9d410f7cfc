"""Options of the ``grid`` searcher."""

from __future__ import annotations

from pydantic import PositiveInt

from nasforge.config import PluginConfig

__all__ = ["GridConfig"]


class GridConfig(PluginConfig):
    """How much of the space to evaluate."""

    evaluations: PositiveInt | None = None
    """How many architectures to evaluate, from the first on; None for all."""
