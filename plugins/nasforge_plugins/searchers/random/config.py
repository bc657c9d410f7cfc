"""Options of the ``random`` searcher."""

from __future__ import annotations

from pydantic import PositiveInt

from nasforge.config import PluginConfig

__all__ = ["RandomConfig"]


class RandomConfig(PluginConfig):
    """How long to search."""

    evaluations: PositiveInt = 100
    """How many architectures to evaluate."""
