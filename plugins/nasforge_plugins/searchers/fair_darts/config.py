"""Options of FairDARTS."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["FairDartsConfig"]


class FairDartsConfig(GradientConfig):
    """The search of Chu et al. (ECCV 2020) on CIFAR-10, there with batches of 128 images.

    The space decides how many operations are kept; the published threshold of 0.85 may keep fewer.
    """

    relaxation: Literal["softmax", "gumbel", "dirichlet", "sigmoid"] = "sigmoid"
    """How the weights of options are made: each by a sigmoid of its own."""

    zero_one: NonNegativeFloat = 10.0
    """Strength of the reward for weights far from one half."""

    lr: PositiveFloat = 0.005
    """Learning rate of the search network, at the start of half a cosine."""

    arch_lr: PositiveFloat = 3e-3
    """Learning rate of Adam on the architecture parameters, constant."""

    arch_betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's first and second moments."""
