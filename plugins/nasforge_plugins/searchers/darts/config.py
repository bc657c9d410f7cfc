"""Options of DARTS: those of every gradient searcher, at its own published settings."""

from __future__ import annotations

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["DartsSearchConfig"]


class DartsSearchConfig(GradientConfig):
    """The first-order search of Liu et al. (ICLR 2019) on CIFAR-10; order = 2 is the second-order one."""
