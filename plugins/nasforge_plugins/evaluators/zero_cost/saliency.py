"""Proxies from pruning: what the gradient of the first batch says about the weights.

Pruning scores single weights before training; summed over all convolutions and linear layers they score a
network (Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, section 3.2). Batch-norms
use the statistics of the batch, the loss is cross-entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.nn import Network
from nasforge_plugins.evaluators.zero_cost.network import Twice, fresh, gradients, layers

__all__ = ["fisher", "grad_norm", "grasp", "plain", "snip"]


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

    Temperature 1, as in Abdelfattah et al. The network must be differentiable twice.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    with Twice():
        weights, found = _first_gradients(network, images, labels, graph=True)
    # The gradient of g·stop(g) is the Hessian times g, which is never stored.
    product = torch.stack([(g * g.detach()).sum() for g in found]).sum()
    curved = gradients(product, weights)
    return -sum((w * h).sum().item() for w, h in zip(weights, curved, strict=True))


def fisher(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the loss that removing channels would cost (Turner et al., "BlockSwap", ICLR 2020, Eq. 2).

    Of every channel behind a convolution or linear layer: half the mean over images of the square of
    activation times gradient, which is summed over positions first.

    Args:
        network: Untrained; it calls its layers as modules.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``.
    """
    copied, outputs = fresh(network), list[Tensor]()
    for layer in layers(copied):
        layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    loss = _loss(copied, images, labels)
    total = 0.0
    for output, gradient in zip(outputs, gradients(loss, outputs), strict=True):
        by_channel = (output * gradient).flatten(2).sum(2) if output.dim() > 2 else output * gradient
        total += 0.5 * by_channel.square().mean(0).sum().item()
    return total


def _loss(network: Network, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(network(images).logits, labels)


def _first_gradients(
    network: Network, images: Tensor, labels: Tensor, *, graph: bool = False
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights of all layers, and the gradients of the loss for them."""
    copied = fresh(network)
    weights: list[Tensor] = [layer.weight for layer in layers(copied)]
    return weights, gradients(_loss(copied, images, labels), weights, graph=graph)
