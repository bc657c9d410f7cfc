"""Options of DrNAS."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["DrnasConfig"]


class DrnasConfig(GradientConfig):
    """The search of Chen et al. (ICLR 2021), in one stage.

    Published on CIFAR-10 are two, in networks of 36 channels and 20 cells: partial_channels = 6, then 4 with
    half of the operations.
    """

    relaxation: Literal["softmax", "gumbel", "dirichlet", "sigmoid"] = "dirichlet"
    """How the weights of options are made: drawn per batch, from a Dirichlet distribution."""

    warmup_epochs: NonNegativeInt = 10
    """First epochs, in which the architecture does not learn."""

    lr: PositiveFloat = 0.1
    """Learning rate of the search network, at the start of half a cosine."""

    min_lr: NonNegativeFloat = 0.0
    """Learning rate at the end of the cosine."""

    arch_lr: PositiveFloat = 6e-4
    """Learning rate of Adam on the architecture parameters, constant."""
