"""Synaptic flow: how much gets through a network whose weights are all positive."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nasforge.nn import Network
from nasforge.runtime import exact_device
from nasforge_plugins.evaluators.zero_cost.network import Norm, fresh, gradients, layers

__all__ = ["synflow"]


def synflow(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return ``ln(1 + Σ w ∂R/∂w)`` without batch-norm (Tanaka et al., "SynFlow", NeurIPS 2020, Eq. 1-2).

    R is the sum of the logits of one image of ones, after all parameters are replaced by their magnitudes.
    Batch-norms are left out, as Abdelfattah et al. (2021) do: they would undo what the weights let through.
    Double precision, because R grows with the power of the depth; and the logarithm, which is ours, because
    predictors want numbers of one size. It changes no rank.

    Args:
        network: Untrained; it calls its batch-norms as modules.
        images: ``(B, C, S, S)``; only its shape counts.
        labels: Not read.
    """
    device = exact_device(images.device)
    copied = fresh(network).to(device).double()
    for name, module in list(copied.named_modules()):
        if isinstance(module, Norm):
            parent, _, leaf = name.rpartition(".")
            setattr(copied.get_submodule(parent), leaf, nn.Identity())
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.abs_()
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=device)
    weights: list[Tensor] = [layer.weight for layer in layers(copied)]
    found = gradients(copied(ones).logits.sum(), weights)
    return math.log1p(sum((w * g).abs().sum().item() for w, g in zip(weights, found, strict=True)))
