"""Proxies from pruning: what the gradient of the first batch says about the weights.

Pruning scores single weights before training; summed over all convolutions and linear layers they score a
network (Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, section 3.2). Batch-norms
use the statistics of the batch, the loss is cross-entropy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.nn import Network
from nasforge.runtime import exact_device
from nasforge_plugins.evaluators.zero_cost.filtering import Filtered
from nasforge_plugins.evaluators.zero_cost.network import Sides, Twice, fresh, gradients, layers

__all__ = ["fisher", "grad_norm", "grasp", "grasp_fast", "plain", "snip"]

STEP = 1 / 4096
"""Relative change of the weights in `grasp_fast`. Larger steps miss the curvature, smaller ones are lost in
the seven digits of a float."""


def grad_norm(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum over layers of the Euclidean norm of the gradient (Abdelfattah et al., 2021).

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    _, found = _first_gradients(network, images, labels)
    return sum(float(gradient.norm()) for gradient in found)


def plain(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum of weight times gradient (Mozer and Smolensky, "Skeletonization", 1988).

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    weights, found = _first_gradients(network, images, labels)
    return sum((w * g).sum().item() for w, g in zip(weights, found, strict=True))


def snip(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum of the magnitude of weight times gradient (Lee et al., "SNIP", ICLR 2019, Eq. 5).

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    weights, found = _first_gradients(network, images, labels)
    return sum((w * g).abs().sum().item() for w, g in zip(weights, found, strict=True))


def grasp(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return minus the sum of weight times Hessian-gradient product (Wang et al., "GraSP", ICLR 2020, Eq. 8).

    Temperature 1 and the whole batch at once, as in Abdelfattah et al.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    copied = fresh(network)
    weights: list[Tensor] = [layer.weight for layer in layers(copied)]
    with Twice():
        loss = F.cross_entropy(copied(images).logits, labels)
    if not loss.requires_grad:
        return 0.0
    first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    # g·g, of which only one factor is differentiated, has the gradient Hg.
    product = torch.stack([(g * g.detach()).sum() for g in first if g is not None]).sum()
    second = gradients(product, weights)
    return -sum((w * h).sum().item() for w, h in zip(weights, second, strict=True))


def grasp_fast(network: Network, images: Tensor, labels: Tensor) -> float:
    """Approximate `grasp` by a difference of two squared gradients, in half the time.

    With the gradient g and the Hessian H at the weights w, `grasp` is ``-w·Hg``. H is symmetric, so ``w·Hg =
    g·Hw``, the derivative of ``|g(t w)|² / 2`` by t at 1. The difference quotient ``(|g((1 + e) w)|² -
    |g((1 - e) w)|²) / (4 e)`` with ``e = 1/4096`` needs two gradients; differentiating twice takes as long as
    five. ReLUs stay on the side that they have at ``(1 - e) w``, because the second derivative does not
    contain the jumps of the first. On small networks the result is within 1 % of `grasp`. On NAS-Bench-201
    half of the networks differ by 5 % or more, and some by far more, where terms nearly cancel. The Spearman
    correlation of both is .98.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    copied, sides = fresh(network), Sides()
    weights: list[Tensor] = [layer.weight for layer in layers(copied)]
    start = [weight.detach().clone() for weight in weights]

    def squared(scale: float) -> float:
        with torch.no_grad():
            for weight, first in zip(weights, start, strict=True):
                weight.copy_(scale * first)
        with sides:
            loss = _loss(copied, images, labels)
        found = gradients(loss, weights)
        exact = exact_device(images.device)
        return sum(gradient.to(exact).double().square().sum().item() for gradient in found)

    below = squared(1.0 - STEP)
    sides.rewind()
    return (below - squared(1.0 + STEP)) / (4.0 * STEP)


def fisher(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the Fisher information of all channels, weighted as by Abdelfattah et al. (ICLR 2021).

    The information of a channel behind a convolution or linear layer is half the mean over images of
    ``(Σ a ∂L/∂a)²``, with activations a summed over positions (Turner et al., "BlockSwap", ICLR 2020, Eq. 2).
    zero-cost-nas assigns it to every weight of the channel before it sums over the network, so a channel
    counts ``weight[0].numel()`` times: input channels times kernel area.

    Args:
        network: Untrained; it calls its layers as modules.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    copied = fresh(network)
    outputs, sizes, last = list[Tensor](), list[int](), list[bool]()

    def note(module: Any, inputs: Any, output: Tensor) -> None:
        outputs.append(output)
        # Linear layers of transformers have their channels behind the positions.
        last.append(isinstance(module, torch.nn.Linear))
        sizes.append(module.weight[0].numel())

    for layer in layers(copied):
        layer.register_forward_hook(note)
    loss = _loss(copied, images, labels)
    total = 0.0
    for output, gradient, size, is_last in zip(outputs, gradients(loss, outputs), sizes, last, strict=True):
        by_channel = output * gradient
        if by_channel.dim() > 2:
            by_channel = (by_channel.movedim(-1, 1) if is_last else by_channel).flatten(2).sum(2)
        total += size * 0.5 * by_channel.square().mean(0).sum().item()
    return total


def _loss(network: Network, images: Tensor, labels: Tensor) -> Tensor:
    """Return the loss, which can be differentiated once."""
    with Filtered():
        return F.cross_entropy(network(images).logits, labels)


def _first_gradients(network: Network, images: Tensor, labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights of all layers, and the gradients of the loss for them."""
    copied = fresh(network)
    weights: list[Tensor] = [layer.weight for layer in layers(copied)]
    return weights, gradients(_loss(copied, images, labels), weights)
