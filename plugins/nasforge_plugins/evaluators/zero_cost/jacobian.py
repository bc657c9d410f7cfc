"""Proxies from the Jacobian: how differently a network reacts to different images."""

from __future__ import annotations

import torch
from torch import Tensor

from nasforge.nn import Network
from nasforge.runtime import exact_device
from nasforge_plugins.evaluators.zero_cost.network import fresh, gradients

__all__ = ["epe_nas", "jacov"]

SMALL = 1e-5
"""Added before logarithms and divisions, as both papers' code does."""


def jacov(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return how little the Jacobians of the images correlate (Mellor et al., arXiv 2006.04647v1, section 3).

    With the eigenvalues v of the correlation matrix: ``-Σ (ln(v + k) + 1 / (v + k))``, ``k = 1e-5``.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``, two or more.
        labels: Not read.
    """
    jacobian, _ = _jacobian(network, images)
    eigenvalues = torch.linalg.eigvalsh(_correlation(jacobian)).clamp_min(0.0) + SMALL
    return -float((eigenvalues.log() + 1.0 / eigenvalues).sum())


def epe_nas(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return how little Jacobians correlate within classes (Lopes et al., "EPE-NAS", ICANN 2021).

    Per class the sum of ``ln(|correlation| + k)`` over all pairs of its images; then the sum of magnitudes
    over the classes, or above 100 classes of the mean within a class, the mean difference of classes.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``.
        labels: ``(B,)``; a class needs two images to count.
    """
    jacobian, classes = _jacobian(network, images)
    many = classes > 100
    scores = []
    labels = labels.to(jacobian.device)
    for label in labels.unique():
        logs = (_correlation(jacobian[labels == label]).abs() + SMALL).log()
        scores.append(logs.sum() / (len(logs) if many else 1))
    by_class = torch.stack(scores)
    if not many:
        return float(by_class.abs().sum())
    return float((by_class[:, None] - by_class[None, :]).abs().sum() / len(by_class))


def _jacobian(network: Network, images: Tensor) -> tuple[Tensor, int]:
    """Return the gradient of every image's summed logits for its pixels, ``(B, pixels)``; how many logits."""
    pixels = images.detach().clone().requires_grad_()
    logits = fresh(network).requires_grad_(False)(pixels).logits
    (found,) = gradients(logits.sum(), [pixels])
    return found.reshape(len(images), -1).to(exact_device(images.device)).double(), logits.shape[1]


def _correlation(rows: Tensor) -> Tensor:
    """Return the correlation of rows ``(B, B)``; rows without variance count as the same as all others."""
    centred = rows - rows.mean(1, keepdim=True)
    length = centred.norm(dim=1)
    outer = length[:, None] * length[None, :]
    return torch.where(outer > 0, centred @ centred.T / outer, 1.0)
