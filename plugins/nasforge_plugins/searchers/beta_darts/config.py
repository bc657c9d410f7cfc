"""Options of β-DARTS."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["BetaDartsConfig"]


class BetaDartsConfig(GradientConfig):
    """The search of Ye et al. (CVPR 2022)."""

    beta_decay: NonNegativeFloat = 0.5
    """Beta-decay: the mean log-sum-exp of a choice's parameters, times this, times the number of epochs
    the architecture has been learning (0 to 50 over 100 epochs)."""
