"""Options of DARTS-PT."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["DartsPtConfig"]


class DartsPtConfig(GradientConfig):
    """The search of DARTS, then the selection of Wang et al. (ICLR 2021): one step per decision."""

    tune_epochs: NonNegativeInt = 5
    """Epochs that the supernet trains on after each decision (published: 10 for one decision in the
    normal and one in the reduction cell)."""

    tune_lr: PositiveFloat = 2.5e-3
    """Learning rate of these epochs, at the start of half a cosine over all of them, which ends at
    min_lr."""
