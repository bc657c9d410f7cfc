"""Options of SDARTS."""

from __future__ import annotations

from typing import Literal

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["SdartsConfig"]


class SdartsConfig(GradientConfig):
    """The search of Chen and Hsieh (ICML 2020): random (RS) or adversarial (ADV) disturbance."""

    perturbation: Literal["none", "random", "adversarial"] = "random"
    """What disturbs the option weights while the network learns: uniform noise (SDARTS-RS), or the
    disturbance that the network finds hardest (SDARTS-ADV; eight more passes per batch)."""
