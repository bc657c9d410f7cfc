"""Disturbed option weights, so that the network learns to bear the step to one architecture (SDARTS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nasforge.nn.noise import architecture_noise

__all__ = ["adversarial", "uniform"]

Weights = Mapping[str, Tensor]


@torch.no_grad()
def uniform(weights: Weights, radius: float, *, simplex: bool = True) -> dict[str, Tensor]:
    """Return weights moved by uniform noise (SDARTS-RS).

    Args:
        weights: Option weights by choice name.
        radius: Largest change of a weight.
        simplex: Whether the weights of a choice add up to 1, before and after.
    """
    with architecture_noise():
        moved = {name: w + torch.empty_like(w).uniform_(-radius, radius) for name, w in weights.items()}
    return {name: _valid(w, simplex) for name, w in moved.items()}


def adversarial(
    weights: Weights,
    radius: float,
    loss: Callable[[Weights], Tensor],
    *,
    steps: int = 7,
    simplex: bool = True,
) -> dict[str, Tensor]:
    """Return weights moved to where the loss is high: projected ascent by signs of gradients (SDARTS-ADV).

    It starts at random, steps by twice the radius over the number of steps, and gives the weights back
    unchanged if that did not raise the loss.

    Args:
        weights: Option weights by choice name.
        radius: Largest change of a weight, before the weights of a choice are made to add up to 1.
        loss: The loss to raise; called ``steps + 2`` times.
        steps: Number of steps.
        simplex: Whether the weights of a choice add up to 1, before and after.
    """
    start = {name: w.detach() for name, w in weights.items()}
    with torch.no_grad():
        before = loss(start)
    current = uniform(start, radius, simplex=simplex)
    for _ in range(steps):
        probes = {name: w.detach().requires_grad_() for name, w in current.items()}
        slopes = torch.autograd.grad(
            loss(probes), list(probes.values()), allow_unused=True, materialize_grads=True
        )
        with torch.no_grad():
            for (name, w), slope in zip(probes.items(), slopes, strict=True):
                change = w + 2.0 * radius / steps * slope.sign() - start[name]
                current[name] = _valid(start[name] + change.clamp(-radius, radius), simplex)
    with torch.no_grad():
        raised = loss(current) >= before
    # Chosen where the numbers are: looking at them would make a GPU wait.
    return {name: torch.where(raised, w, start[name]) for name, w in current.items()}


def _valid(weights: Tensor, simplex: bool) -> Tensor:
    """Clip to 0 to 1, and scale to a sum of 1; if nothing is left, the heaviest option takes all."""
    clipped = weights.clamp(0.0, 1.0)
    if not simplex:
        return clipped
    total = clipped.sum()
    alone = torch.nn.functional.one_hot(weights.argmax(), len(weights)).to(weights.dtype)
    return torch.where(total > 0.0, clipped / total.clamp_min(1e-12), alone)
