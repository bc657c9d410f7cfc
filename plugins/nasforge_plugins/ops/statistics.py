"""Running statistics of batch norms whose statistics are computed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["RunningStatistics", "uses_batch"]


def uses_batch(norm: nn.BatchNorm2d) -> bool:
    """Return whether a batch norm uses the statistics of the batch, rather than its running ones."""
    return norm.training or norm.running_mean is None


class RunningStatistics:
    """Collect new running statistics, to write them with few operations."""

    def __init__(self) -> None:
        self.running: list[Tensor] = []
        self.seen: list[Tensor] = []
        self.counts: list[Tensor] = []
        self.shares: list[float] = []

    @torch.no_grad()
    def add(self, norms: Sequence[nn.BatchNorm2d], mean: Tensor, variance: Tensor, count: int) -> None:
        """Record the statistics of a batch for some batch norms.

        Args:
            norms: G batch norms.
            mean: ``(G, C)``.
            variance: ``(G, C)``, biased.
            count: Pixels per channel.
        """
        self.note(norms, mean, variance * (count / max(count - 1, 1)))

    @torch.no_grad()
    def note(self, norms: Sequence[nn.BatchNorm2d], mean: Tensor, variance: Tensor) -> None:
        """Record statistics, read when they are written: they may be computed in between.

        Args:
            norms: G batch norms.
            mean: ``(G, C)``.
            variance: ``(G, C)``, unbiased.
        """
        for norm, m, v in zip(norms, mean.unbind(), variance.unbind(), strict=True):
            if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
                continue
            self.counts.append(norm.num_batches_tracked)
            share = norm.momentum
            if share is None:
                share = 1.0 / (int(norm.num_batches_tracked) + 1)
            self.running += [norm.running_mean, norm.running_var]
            self.seen += [m, v]
            self.shares += [share, share]

    def normalize(self, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """Return ``norm(x)``; only the count of batches waits to be written.

        Args:
            norm: A batch norm.
            x: ``(B, C, H, W)``.
        """
        batch, share = uses_batch(norm), norm.momentum
        if share is None:
            return cast("Tensor", norm(x))
        if norm.training and norm.num_batches_tracked is not None:
            self.counts.append(norm.num_batches_tracked)
        mean, variance = norm.running_mean, norm.running_var
        return F.batch_norm(x, mean, variance, norm.weight, norm.bias, batch, share, norm.eps)

    @torch.no_grad()
    def write(self) -> None:
        """Move the running statistics of all recorded batch norms."""
        for share in sorted(set(self.shares)):
            chosen = [i for i, s in enumerate(self.shares) if s == share]
            torch._foreach_lerp_([self.running[i] for i in chosen], [self.seen[i] for i in chosen], share)
        if self.counts:
            torch._foreach_add_(self.counts, 1)
        for noted in (self.running, self.seen, self.counts, self.shares):
            noted.clear()
