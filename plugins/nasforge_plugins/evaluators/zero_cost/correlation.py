"""MeCo: how independent the channels of all feature maps are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nasforge.nn import Network
from nasforge_plugins.evaluators.zero_cost.network import fresh

__all__ = ["meco"]

SIDE = 64
"""Side of the image of noise, for networks that take any."""


def meco(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum over feature maps of the smallest eigenvalue of their correlations (Jiang et al., 2023).

    A feature map is the output of a module for one image of normal noise, 64 pixels wide; correlated are its
    channels over all positions. A channel without variance counts as uncorrelated with every channel, itself
    included. As in HamsterMimi/MeCo (measures/meco.py), the modules that contain others count too, so that
    the score depends on how the code of a network nests its modules.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``; only the number of channels counts, and S for networks of one size.
        labels: Not read.
    """
    copied = fresh(network)
    smallest: list[Tensor] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
            smallest.append(_smallest_eigenvalue(output[0].flatten(1)))

    handles = [module.register_forward_hook(note) for module in copied.modules()]
    side = SIDE if network.any_size else images.shape[-1]
    noise = torch.randn(1, images.shape[1], side, side, device=images.device, dtype=images.dtype)
    with torch.no_grad():
        copied(noise)
    for handle in handles:
        handle.remove()
    return float(torch.stack(smallest).sum()) if smallest else 0.0


def _smallest_eigenvalue(channels: Tensor) -> Tensor:
    """Return it for the correlations of rows, ``(C, positions)``."""
    correlations = torch.corrcoef(channels).reshape(len(channels), len(channels))
    return torch.linalg.eigvalsh(correlations.nan_to_num(0.0, 0.0, 0.0)).min()
