"""SWAP: how many different patterns the units of a network show over a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nasforge.cost import count_parameters
from nasforge.nn import Network
from nasforge_plugins.evaluators.zero_cost.network import Activations, draw_weights, fresh

__all__ = ["swap"]

BITS = 62
"""Images whose signs fit into one integer."""


def swap(
    network: Network,
    images: Tensor,
    labels: Tensor,
    draws: int = 1,
    size: tuple[float, float] | None = None,
) -> float:
    """Return the number of different activation patterns of units (Peng et al., "SWAP-NAS", ICLR 2024).

    The pattern of a unit tells at which images the input of its activation function is positive. Units are
    those of feature maps: every channel at every position. Weights are drawn from a normal distribution, and
    the mean over several draws is returned (correlation.py of pym1024/SWAP: 32 draws, 16 images).

    The regularised score is that number times ``exp(-(p - m)² / s)``, with p the parameters in thousands.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: Not read.
        draws: Number of weights to average over.
        size: m and s of the regularised score, in thousands of parameters; None does not regularise.
    """
    copied = fresh(network)
    found = sum(_count(copied, images) for _ in range(draws)) / draws
    if size is None:
        return found
    mean, spread = size
    return found * math.exp(-((count_parameters(network) / 1e3 - mean) ** 2) / spread)


@torch.no_grad()
def _count(copied: Network, images: Tensor) -> int:
    """Draw new weights, and count the patterns under them."""
    draw_weights(copied, nn.init.normal_)
    powers = 2 ** torch.arange(min(BITS, len(images)), device=images.device)
    seen: list[Tensor] = []

    def see(x: Tensor) -> None:
        if x.dim() != 4:
            return
        signs = (x > 0).flatten(1).split(BITS)
        codes = [(part * powers[: len(part), None]).sum(0) for part in signs]
        seen.append(torch.stack(codes, 1).unique(dim=0))

    with Activations(see):
        copied(images)
    return len(torch.cat(seen).unique(dim=0)) if seen else 0
