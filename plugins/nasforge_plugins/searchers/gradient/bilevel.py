"""The gradient of the architecture: as the weights are, or as they would be after their next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nasforge.training.loops import random_state, set_random_state
from nasforge.training.optim import frozen

__all__ = ["gradients_of", "next_weights", "restoring", "unrolled_gradients"]

Loss = Callable[[], Tensor]


def gradients_of(loss: Tensor, parameters: Sequence[nn.Parameter], *, keep: bool = False) -> list[Tensor]:
    """Return the gradients of a loss; zeros where it does not depend on a parameter.

    A network of drawn options may depend on none: all edges into a node can draw ``none``.

    Args:
        loss: A scalar.
        parameters: Parameters to differentiate by.
        keep: Keep what another backward pass of the loss needs.
    """
    if not loss.requires_grad:
        return [torch.zeros_like(p) for p in parameters]
    found = torch.autograd.grad(
        loss, parameters, retain_graph=keep or None, allow_unused=True, materialize_grads=True
    )
    return list(found)


def next_weights(
    weights: Sequence[nn.Parameter], gradients: Sequence[Tensor], optimizer: Optimizer
) -> list[Tensor]:
    """Return the weights after a step of SGD with momentum and weight decay, without making it.

    Args:
        weights: Trained by ``optimizer``.
        gradients: Of the training loss.
        optimizer: `torch.optim.SGD`; its state is read only.
    """
    options: Mapping[int, Mapping[str, Any]] = {
        id(p): group for group in optimizer.param_groups for p in group["params"]
    }
    after = []
    for weight, gradient in zip(weights, gradients, strict=True):
        group = options[id(weight)]
        step = gradient + group["weight_decay"] * weight.detach()
        velocity = optimizer.state.get(weight, {}).get("momentum_buffer")
        moved = step if velocity is None else step + group["momentum"] * velocity
        step = step + group["momentum"] * moved if group["nesterov"] else moved
        after.append(weight.detach() - group["lr"] * step)
    return after


def unrolled_gradients(
    arch: Sequence[nn.Parameter],
    network: nn.Module,
    train_loss: Loss,
    valid_loss: Loss,
    optimizer: Optimizer,
    scale: float = 0.01,
) -> tuple[list[Tensor], Tensor]:
    """Differentiate the validation loss behind the next step of the weights (DARTS, Eq. 6 to 8).

    Let ``w`` be the weights, ``a`` the architecture and ``w' = w - lr * (dT/dw(w, a) + …)`` the weights after
    a step on the training loss T. The gradient of the validation loss V behind that step is
    ``dV/da(w', a) - lr * H v`` with ``v = dV/dw(w', a)``. ``H v``, the mixed second derivative of T times
    ``v``, is the difference of ``dT/da`` at ``w + e v`` and ``w - e v``, over ``2 e``, with
    ``e = scale / |v|``.

    Weights and buffers are left as they were. Relaxations that draw see the same draws in all three passes
    over the training batch: else the difference would be noise.

    Args:
        arch: The architecture parameters.
        network: Holds the weights.
        train_loss: Runs the network on the training batch.
        valid_loss: Runs it on the validation batch.
        optimizer: SGD on the weights: learning rate, momentum and weight decay of its next step.
        scale: Length of the step of the finite difference.

    Returns:
        A gradient per architecture parameter, and the validation loss behind the step.
    """
    weights = list(network.parameters())
    device = weights[0].device
    before = random_state(device)
    with restoring(network):
        with frozen(arch):
            loss = train_loss()
        _set(weights, next_weights(weights, gradients_of(loss, weights), optimizer))
        loss = valid_loss()
        both = gradients_of(loss, [*arch, *weights])
        direct, v = both[: len(arch)], both[len(arch) :]
    after = random_state(device)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in v]))
    epsilon = scale / norm.clamp_min(1e-12)
    sides = []
    for sign in (1.0, -1.0):
        with restoring(network):
            _set(weights, [w.detach() + sign * epsilon * part for w, part in zip(weights, v, strict=True)])
            set_random_state(device, before)
            with frozen(weights):
                sides.append(gradients_of(train_loss(), arch))
    set_random_state(device, after)
    rates = {id(p): _rate(group) for group in optimizer.param_groups for p in group["params"]}
    rate = rates[id(weights[0])]
    products = [(plus - minus) / (2.0 * epsilon) for plus, minus in zip(*sides, strict=True)]
    return [d - rate * product for d, product in zip(direct, products, strict=True)], loss.detach()


def _rate(group: Mapping[str, Any]) -> float:
    """Return how far a weight moves for a change of its gradient by 1."""
    reach: float = 1.0 + group["momentum"] if group["nesterov"] else 1.0
    return float(group["lr"]) * reach


@contextmanager
def restoring(network: nn.Module) -> Iterator[None]:
    """Restore parameters and buffers at the end of the block, running statistics among them.

    Args:
        network: Changed inside the block.
    """
    tensors = [*network.parameters(), *network.buffers()]
    saved = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        _set(tensors, saved)


@torch.no_grad()
def _set(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
