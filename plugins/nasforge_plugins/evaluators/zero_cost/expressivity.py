"""Zen-score: how strongly the last feature map answers to a small change of the input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nasforge.nn import Network
from nasforge_plugins.evaluators.zero_cost.network import draw_weights, fresh, norms

__all__ = ["zen"]

STEP = 0.01
"""Size of the change in multiples of the input's deviation, as in the published code."""


def zen(network: Network, images: Tensor, labels: Tensor, draws: int = 1) -> float:
    """Return the Zen-score (Lin et al., "Zen-NAS", ICCV 2021, Algorithm 1).

    Weights and images are drawn from a normal distribution. The score is ``ln E|f(x) - f(x + 0.01 ε)|``, the
    difference summed over the last feature map, plus the logarithm of the deviation that each batch-norm
    divides by. The mean of ``draws`` such scores is returned; published are 32.

    Two things differ from the published score. It compares networks whose skip connections are removed; here
    they stay. And its deviations come from running variances that start at 1 with momentum 0.1 and keep
    their value from draw to draw, so after t draws they hold ``1 - 0.81^t`` of the variance. Where variances
    are far above 1, this lowers the published score by a constant per batch-norm: by .830 with one draw, by
    .095 with 32. Only networks with different numbers of batch-norms change places by it.

    Args:
        network: Untrained; it calls its batch-norms as modules.
        images: ``(B, C, S, S)``; only its shape counts.
        labels: Not read.
        draws: Number of weights and images to average over.
    """
    copied = fresh(network)
    return sum(_draw(copied, images) for _ in range(draws)) / draws


def _draw(copied: Network, images: Tensor) -> float:
    """Draw new weights and images and return the score."""
    logs = list[Tensor]()
    draw_weights(copied, nn.init.normal_)

    def note(norm: Any, inputs: tuple[Tensor]) -> None:
        x = inputs[0].transpose(0, 1).flatten(1)
        logs.append(0.5 * (x.var(1, correction=0).mean() + norm.eps).log())

    handles = [norm.register_forward_pre_hook(note) for norm in norms(copied)]
    noise = torch.randn_like(images)
    with torch.no_grad():
        first = _last_map(copied, noise)
        for handle in handles:
            handle.remove()
        second = _last_map(copied, noise + STEP * torch.randn_like(noise))
    change = (first - second).abs().flatten(1).sum(1).mean()
    smallest = torch.finfo(change.dtype).tiny
    return float(change.clamp_min(smallest).log()) + sum(float(log) for log in logs)


def _last_map(network: Network, images: Tensor) -> Tensor:
    output = network(images)
    return output.features[-1] if output.features else output.logits
