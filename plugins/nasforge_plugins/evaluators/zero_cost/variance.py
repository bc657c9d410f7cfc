"""ZiCo: how large gradients are beside their differences between batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.nn import Network
from nasforge.runtime import exact_device
from nasforge_plugins.evaluators.zero_cost.filtering import Filtered
from nasforge_plugins.evaluators.zero_cost.network import fresh, gradients, layers

__all__ = ["zico"]

PARTS = 2
"""Number of batches that are compared, as published for NAS-Bench-201."""


def zico(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum over layers of ``ln Σ E|g| / std(g)`` (Li et al., "ZiCo", ICLR 2023).

    ``g`` is the gradient of a weight of a convolution or linear layer; mean and deviation are over two
    batches, for which the images are halved. Weights whose gradient is the same in both are left out, and so
    are layers without any other (`caculate_zico` of SLDGroup/ZiCo).

    Args:
        network: Untrained.
        images: ``(B, C, S, S)`` with B of 4 or more.
        labels: ``(B,)``.
    """
    copied = fresh(network)
    weights = [layer.weight for layer in layers(copied)]
    rows = []
    for x, y in zip(images.chunk(PARTS), labels.chunk(PARTS), strict=True):
        with Filtered():
            loss = F.cross_entropy(copied(x).logits, y)
        rows.append(gradients(loss, weights))
    total, device = 0.0, exact_device(images.device)
    for values in zip(*rows, strict=True):
        both = torch.stack(values).to(device).double()
        deviation = both.std(0, correction=0)
        differs = deviation != 0
        if differs.any():
            total += float((both.abs().mean(0)[differs] / deviation[differs]).sum().log())
    return total
