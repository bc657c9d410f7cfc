"""Inputs of proxies: a copy of a network, its layers, and the inputs of its activation functions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from nasforge.nn import DropPath, Network

__all__ = [
    "Activations",
    "Norm",
    "Proxy",
    "Sides",
    "Twice",
    "draw_weights",
    "fresh",
    "gradients",
    "layers",
    "norms",
]

Proxy = Callable[[Network, Tensor, Tensor], float]
"""Scores an untrained network by images ``(B, C, S, S)`` and labels ``(B,)``; higher is better. It leaves the
network as it was, and draws, if at all, from torch's global generator."""

Norm = nn.modules.batchnorm._BatchNorm


def fresh(network: Network) -> Network:
    """Return a copy that a proxy may spoil.

    Its batch-norms use the batch, nothing is dropped at random, and every operation is computed by its own
    module, for proxies to see or replace.

    Args:
        network: Left alone.
    """
    copied = copy.deepcopy(network).train().requires_grad_(True)
    copied.plain = True
    for module in copied.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd | DropPath):
            module.eval()
    return copied


def layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Return the layers whose weights proxies sum over: convolutions and linear layers."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def norms(network: nn.Module) -> list[Norm]:
    """Return all batch-norms."""
    return [module for module in network.modules() if isinstance(module, Norm)]


def draw_weights(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Draw the weights of all layers anew; biases are 0 then, and batch-norms neither scale nor shift.

    Args:
        network: Changed in place.
        draw: Fills the weight of a layer, such as `torch.nn.init.normal_`.
    """
    for layer in layers(network):
        draw(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for norm in norms(network):
        if norm.affine:
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)


def gradients(value: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradient of a scalar for every tensor; zeros where it does not depend on one.

    Args:
        value: The scalar.
        of: The tensors.
    """
    if not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in of]
    found = torch.autograd.grad(value, of, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(of, found, strict=True)]


_NAMES = (
    "relu",
    "relu_",
    "relu6",
    "leaky_relu",
    "silu",
    "gelu",
    "hardswish",
    "mish",
    "elu",
    "celu",
    "selu",
    "hardtanh",
)
_WATCHED = frozenset(
    cast("Callable[..., Tensor]", getattr(home, name))
    for home in cast("Iterable[Any]", (F, torch, Tensor))
    for name in _NAMES
    if hasattr(home, name)
)


class Activations(TorchFunctionMode):
    """Shows what enters every activation function of the block, whether it is a module or a function.

    Gates that squash (sigmoid, hard sigmoid, tanh) do not count.

    Args:
        see: Called with each input.
    """

    def __init__(self, see: Callable[[Tensor], None]) -> None:
        super().__init__()
        self._see = see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function; report its input first if it is an activation."""
        if func in _WATCHED:
            self._see(args[0])
        return func(*args, **(kwargs or {}))


_RELUS = frozenset({F.relu, torch.relu, Tensor.relu, F.relu6})


class Sides(TorchFunctionMode):
    """Keeps every ReLU and ReLU6 on the side it was on when the network first ran in such a block.

    So a network whose weights change a little stays one smooth function, which is what its second derivative
    takes it to be. Call `again` before every run but the first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._noted: list[Tensor] = []
        self._call: int | None = None

    def rewind(self) -> None:
        """Let the next run repeat the sides of the first."""
        self._call = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, a ReLU as the line or the constant that it was."""
        if func not in _RELUS:
            return func(*args, **(kwargs or {}))
        if self._call is None:
            result = func(*args, **(kwargs or {}))
            self._noted.append(result.detach())
            return result
        before = self._noted[self._call]
        self._call += 1
        # What the gradient of a ReLU does: keep where it was above 0. Faster than choosing by a mask.
        if func is not F.relu6:
            return torch.ops.aten.threshold_backward(args[0], before, 0.0)
        return torch.where((before > 0) & (before < 6), args[0], before)


class Twice(TorchFunctionMode):
    """Computes hard sigmoids by ReLU6: torch knows the first derivative of its own only."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, or what equals it and can be differentiated twice."""
        if func is F.hardsigmoid:
            return F.relu6(args[0] + 3.0) / 6.0
        return func(*args, **(kwargs or {}))
