"""The optimisers of a search: momentum SGD for weights, Adam for the architecture, as in DARTS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import nn
from torch.optim import SGD, Adam, Optimizer

__all__ = ["SteppingOptions", "arch_adam", "weights_sgd"]


class SteppingOptions(Protocol):
    """What the options of a search say about its steps."""

    @property
    def momentum(self) -> float:
        """Of the weights."""

    @property
    def weight_decay(self) -> float:
        """Of the weights."""

    @property
    def arch_lr(self) -> float:
        """Learning rate of the architecture."""

    @property
    def arch_betas(self) -> tuple[float, float]:
        """Of the architecture's Adam."""

    @property
    def arch_weight_decay(self) -> float:
        """Of the architecture."""


def weights_sgd(parameters: Iterable[nn.Parameter], lr: float, options: SteppingOptions) -> Optimizer:
    """Make the optimiser of a network's weights.

    Args:
        parameters: The weights.
        lr: Learning rate.
        options: Momentum and weight decay.
    """
    # Few operators for a thousand parameters: torch's choice on a CPU is four for each of them. A fused step
    # would be faster, but takes gradients of another layout than their parameter's for what they are not.
    return SGD(
        list(parameters), lr, momentum=options.momentum, weight_decay=options.weight_decay, foreach=True
    )


def arch_adam(parameters: Iterable[nn.Parameter], options: SteppingOptions) -> Optimizer:
    """Make the optimiser of the architecture parameters.

    Args:
        parameters: The architecture parameters.
        options: Learning rate, betas and weight decay.
    """
    return Adam(
        parameters,
        options.arch_lr,
        betas=options.arch_betas,
        weight_decay=options.arch_weight_decay,
        foreach=True,
    )
