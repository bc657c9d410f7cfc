"""Options of PC-DARTS."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["PcDartsConfig"]


class PcDartsConfig(GradientConfig):
    """The search of Xu et al. (ICLR 2020) on CIFAR-10, there with batches of 256 images."""

    partial_channels: PositiveInt = 4
    """Options see one channel in so many (K), the others pass by; 1 leaves it to the space."""

    edge_weights: Literal["learned", "mean", "sum"] = "learned"
    """How a node adds its inputs: "learned" trains one softmax per node, the edge normalisation."""

    warmup_epochs: NonNegativeInt = 15
    """First epochs, in which the architecture does not learn."""

    lr: PositiveFloat = 0.1
    """Learning rate of the search network, at the start of half a cosine."""

    arch_lr: PositiveFloat = 6e-4
    """Learning rate of Adam on the architecture parameters, constant."""
