"""Gradients and momentum between steps and between runs: what rests, what is carried over, what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["frozen", "gradients", "load_gradients", "match_layout"]


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Compute no gradients of ``parameters`` for graphs built inside the block.

    Args:
        parameters: Switched off, and on again at the end; those already off stay off.
    """
    learning = [p for p in parameters if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def match_layout(parameter: Tensor, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an optimiser's values of one parameter, with buffers of its device and layout.

    Args:
        parameter: The parameter the values belong to.
        values: Momentum and other buffers by name; anything not of the parameter's shape is kept as it is.
    """
    return {
        name: torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
        if isinstance(value, Tensor) and value.shape == parameter.shape
        else value
        for name, value in values.items()
    }


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Return the gradients that exist, by parameter name: state, where a later step reads them."""
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def load_gradients(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Restore what `gradients` returned; parameters it does not name have none."""
    for name, parameter in module.named_parameters():
        parameter.grad = None
        if name in state:
            # In the parameter's layout, as autograd leaves it: norms depend on the order of summation.
            parameter.grad = torch.empty_like(parameter, requires_grad=False).copy_(state[name])
