"""How sharply the loss bends in the architecture parameters: the dominant eigenvalue of its Hessian."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from nasforge_plugins.searchers.gradient.bilevel import gradients_of

__all__ = ["difference_product", "dominant_eigenvalue", "has_own_functions", "hessian_product"]

Product = Callable[[Tensor], Tensor]


def hessian_product(parameters: Sequence[nn.Parameter], loss: Callable[[], Tensor]) -> Product:
    """Return a function that multiplies the Hessian of a loss with a vector; the Hessian is never formed.

    It differentiates twice, if all of the network is made of torch's own functions. Where it is not, or where
    that fails for want of a derivative or of memory, `difference_product` does it.

    Args:
        parameters: Parameters to differentiate by, ``n`` numbers in all.
        loss: Returns the loss at the parameters as they are, a scalar; it must draw the same every time.

    Returns:
        Maps ``(n,)`` to ``(n,)``, in float64 on the CPU.
    """
    differences = difference_product(parameters, loss)
    exact: Product | None = None

    def product(vector: Tensor) -> Tensor:
        nonlocal exact
        if exact is None:
            return differences(vector)
        try:
            return exact(vector)
        except RuntimeError:  # if it is the network that is broken, it breaks again below
            exact = None
        return differences(vector)

    value = loss()
    if not has_own_functions(value):
        with suppress(RuntimeError):
            exact = _exact_product(parameters, value)
    return product


def has_own_functions(value: Tensor) -> bool:
    """Return whether a tensor was computed by a custom `torch.autograd.Function`.

    Autograd differentiates what their backward pass leaves behind. If that has first derivatives only, as
    with ``once_differentiable``, second ones lack a term, and nothing says so when they are asked for by
    `torch.autograd.grad`.

    Args:
        value: Computed with gradients.
    """
    seen: set[Any] = set()
    left = [value.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        if hasattr(node, "_forward_cls"):
            return True
        seen.add(node)
        left += [before for before, _ in node.next_functions]
    return False


def _exact_product(parameters: Sequence[nn.Parameter], value: Tensor) -> Product:
    sizes = [p.numel() for p in parameters]
    slope = torch.autograd.grad(
        value, parameters, create_graph=True, allow_unused=True, materialize_grads=True
    )

    def product(vector: Tensor) -> Tensor:
        along = [v.view_as(g).to(g) for g, v in zip(slope, vector.split(sizes), strict=True)]
        total = torch.stack([(g * v).sum() for g, v in zip(slope, along, strict=True)]).sum()
        if not total.requires_grad:  # a loss that bends nowhere
            return torch.zeros_like(vector)
        return _flat(
            torch.autograd.grad(
                total, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        )

    return product


def difference_product(
    parameters: Sequence[nn.Parameter], loss: Callable[[], Tensor], scale: float = 0.3
) -> Product:
    """Return a function that multiplies the Hessian of a loss with a vector, by first derivatives alone.

    ``H v`` is the difference of the gradients at ``p + e v`` and ``p - e v``, over ``2 e``, with
    ``e = scale / |v|``. Parameters are moved for the two gradients, and have the same bits again afterwards.

    Where a network has kinks (ReLU), gradients jump, and a short step divides a few jumps by a tiny number.
    A long step averages over many: it measures the curvature of the loss at that scale, kinks included,
    whereas the exact Hessian knows nothing of kinks.

    Args:
        parameters: Parameters to differentiate by, ``n`` numbers in all.
        loss: Returns the loss at the parameters as they are, a scalar; it must draw the same every time.
        scale: Length of the step.

    Returns:
        Maps ``(n,)`` to ``(n,)``, in float64 on the CPU.
    """
    sizes = [p.numel() for p in parameters]

    def gradient_at(saved: Sequence[Tensor], step: Tensor) -> Tensor:
        with torch.no_grad():
            for parameter, value, move in zip(parameters, saved, step.split(sizes), strict=True):
                parameter.copy_(value + move.view_as(value).to(value))
        return _flat(gradients_of(loss(), parameters))

    def product(vector: Tensor) -> Tensor:
        epsilon = scale / float(vector.norm())
        saved = [p.detach().clone() for p in parameters]
        try:
            ahead, behind = (gradient_at(saved, sign * epsilon * vector) for sign in (1.0, -1.0))
        finally:
            with torch.no_grad():
                for parameter, value in zip(parameters, saved, strict=True):
                    parameter.copy_(value)
        return (ahead - behind) / (2.0 * epsilon)

    return product


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1).cpu().double() for t in tensors])


def dominant_eigenvalue(
    product: Product, start: Tensor, *, steps: int = 20, tolerance: float = 1e-2
) -> float:
    """Return the eigenvalue of largest magnitude of a symmetric matrix, with its sign (Lanczos, 1950).

    Every new vector is made orthogonal to all before it, twice: the short recurrence loses orthogonality, and
    would find the same eigenvalue again and again.

    Args:
        product: Multiplies the matrix with a vector.
        start: A vector ``(n,)`` in float64 that is not orthogonal to the wanted eigenvector, such as noise.
        steps: The most products; ``n`` find the exact value.
        tolerance: Bound of the relative error, estimated from the residual, at which it stops sooner.

    Returns:
        The eigenvalue; not a number if a product is not.
    """
    basis = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    value = math.nan
    for _ in range(min(steps, len(start))):
        vector = product(basis[-1])
        diagonal.append(float(vector @ basis[-1]))
        if not math.isfinite(diagonal[-1]):
            return math.nan
        matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        if beside:
            off = torch.tensor(beside, dtype=torch.float64)
            matrix += torch.diag(off, 1) + torch.diag(off, -1)
        values, vectors = torch.linalg.eigh(matrix)
        largest = int(values.abs().argmax())
        value = float(values[largest])
        for _ in range(2):
            for known in basis:
                vector = vector - (vector @ known) * known
        length = float(vector.norm())
        residual = length * abs(float(vectors[-1, largest]))
        if residual <= tolerance * abs(value):
            break
        beside.append(length)
        basis.append(vector / length)
    return value
