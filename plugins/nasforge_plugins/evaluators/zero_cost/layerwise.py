"""The proxies of AZ-NAS: expressivity, progressivity and trainability, cell by cell.

Lee and Ham, "AZ-NAS: Assembling zero-cost proxies for network architecture search", CVPR 2024. Its fourth
proxy, complexity, is `flops`. Weights are drawn from He's normal distribution, and images from the standard
normal one (NB201/ZeroShotProxy/compute_az_nas_score.py of cvlab-yonsei/AZ-NAS).

Features are the maps between the parts that the forward pass of a network calls by itself: stem, cells,
reductions, blocks. Batch norms between them and what follows the pooling are none.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.nn import Network
from nasforge_plugins.evaluators.zero_cost.network import Norm, draw_weights, fresh

__all__ = ["expressivity", "progressivity", "trainability"]

LOWEST = -1e9
"""In place of minus infinity, which a search could not compare or store."""


def expressivity(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum over features of the entropy of their principal components.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``; only the shape counts.
        labels: Not read.
    """
    with torch.no_grad():
        return _finite(sum(map(_entropy, _features(network, images))))


def progressivity(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the smallest growth of the entropy from one feature to the next.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``; only the shape counts.
        labels: Not read.
    """
    with torch.no_grad():
        entropies = list(map(_entropy, _features(network, images)))
    grown = [after - before for before, after in pairwise(entropies)]
    # min() would pass over values that are not numbers, depending on their order.
    return LOWEST if any(map(math.isnan, grown)) or not grown else _finite(min(grown))


def trainability(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the mean over parts of ``2 - s - 1 / s``, at most 0.

    ``s`` is the spectral norm of the mean outer product of a random gradient of signs behind a part and the
    gradient before it: 1 where gradients keep their length.

    Args:
        network: Untrained.
        images: ``(B, C, S, S)``; only the shape counts.
        labels: Not read.
    """
    features = _features(network, images)
    scores = []
    for before, after in reversed(list(pairwise(features))):
        signs = (torch.bernoulli(torch.full_like(after, 0.5)) - 0.5) * 2.0
        slope = torch.zeros_like(before)
        if after.requires_grad and before.requires_grad:  # a cell may be cut off from its input
            (found,) = torch.autograd.grad(after, before, signs, retain_graph=True, allow_unused=True)
            slope = slope if found is None else found
        if slope.shape == signs.shape and torch.equal(slope, signs):
            return LOWEST
        scores.append(_balance(slope, signs))
    return _finite(sum(scores) / len(scores)) if scores else LOWEST


def _balance(slope: Tensor, signs: Tensor) -> float:
    if slope.shape[2:] != signs.shape[2:]:
        slope = nn.functional.pixel_unshuffle(slope, slope.shape[2] // signs.shape[2])
    rows, columns = (g.transpose(0, 1).flatten(1) for g in (slope, signs))
    largest = float(torch.linalg.matrix_norm(rows @ columns.T / rows.shape[1], 2))
    return 2.0 - largest - 1.0 / (largest + 1e-6)


def _entropy(feature: Tensor) -> float:
    rows = feature.detach().transpose(0, 1).flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    # Rounding may leave values below 0, which have no logarithm.
    values = torch.linalg.eigvalsh(rows @ rows.T / rows.shape[1]).clamp_min(0.0)
    shares = values / values.sum()
    return float(-(shares * (shares + 1e-8).log()).sum())


def _finite(value: float) -> float:
    return value if math.isfinite(value) else LOWEST


def _features(network: Network, images: Tensor) -> list[Tensor]:
    """Draw weights and images, and return the maps between the parts of the network."""
    copied = fresh(network)
    draw_weights(copied, partial(nn.init.kaiming_normal_, nonlinearity="relu"))
    depth, found = 0, list[Tensor]()

    def enter(module: nn.Module, args: Any) -> None:
        nonlocal depth
        depth += 1

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        nonlocal depth
        depth -= 1
        last = output[-1] if isinstance(output, tuple) else output
        is_map = isinstance(last, Tensor) and last.dim() == 4 and last.shape[2] * last.shape[3] > 1
        if depth == 0 and is_map and not isinstance(module, Norm):
            found.append(last)

    for module in copied.modules():
        if module is not copied:
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
    copied(torch.randn_like(images))
    return found
