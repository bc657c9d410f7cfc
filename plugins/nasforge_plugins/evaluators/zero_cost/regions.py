"""NASWOT: how well a network tells images apart before it has learned anything."""

from __future__ import annotations

import torch
from torch import Tensor

from nasforge.nn import Network
from nasforge.runtime import exact_device
from nasforge_plugins.evaluators.zero_cost.network import Activations, fresh

__all__ = ["naswot"]

SMALLEST = 1e-5
"""Eigenvalues below count as this much, so that two images with the same code leave the score finite."""


def naswot(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the log-determinant of the code kernel (Mellor et al., "NAS without training", ICML 2021).

    The code of an image tells which activation inputs are positive; an entry of the kernel counts in how
    many units two codes agree. Smooth activations have no linear regions: the sign of their input stands in.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: Not read.
    """
    count = len(images)
    kernel = torch.zeros(count, count, dtype=torch.float64, device=exact_device(images.device))

    def see(x: Tensor) -> None:
        code = (x > 0).reshape(count, -1).to(torch.float32)
        kernel.add_((code @ code.T + (1.0 - code) @ (1.0 - code).T).to(kernel.device))

    copied = fresh(network)
    with torch.no_grad(), Activations(see):
        copied(images)
    return float(torch.linalg.eigvalsh(kernel).clamp_min(SMALLEST).log().sum())
