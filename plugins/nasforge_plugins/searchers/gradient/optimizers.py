"""The optimisers of a search: momentum SGD for weights, Adam for the architecture, as in DARTS."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, Optimizer

from nasforge.training.steady import SteadySGD
from nasforge_plugins.searchers.gradient.options import SupernetOptions

__all__ = ["arch_adam", "weights_sgd"]


def weights_sgd(
    parameters: Iterable[nn.Parameter], lr: float, options: SupernetOptions, *, steady: bool = False
) -> Optimizer:
    """Make the optimiser of a network's weights.

    Args:
        parameters: The weights.
        lr: Learning rate.
        options: Momentum, whether it is Nesterov's, and weight decay.
        steady: Whether steps are captured.
    """
    # Few operators for a thousand parameters: torch's choice on a CPU is four for each of them. A fused step
    # would be faster, but takes gradients of another layout than their parameter's for what they are not.
    return (SteadySGD if steady else SGD)(
        list(parameters),
        lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
        foreach=True,
    )


def arch_adam(
    parameters: Iterable[nn.Parameter], options: SupernetOptions, *, steady: bool = False
) -> Optimizer:
    """Make the optimiser of the architecture parameters.

    Args:
        parameters: The architecture parameters.
        options: Learning rate, betas and weight decay.
        steady: Whether steps are captured.
    """
    return Adam(
        parameters,
        options.arch_lr,
        betas=options.arch_betas,
        weight_decay=options.arch_weight_decay,
        foreach=True,
        capturable=steady,
    )
