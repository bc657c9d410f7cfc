"""Modules of equal shape run as one, because a GPU pays for every small operator that it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge_plugins.ops.statistics import RunningStatistics

__all__ = ["NormStack", "is_launch_bound", "stack_kernels", "widen"]


def is_launch_bound(x: Tensor) -> bool:
    """Return whether few operators are faster than few passes over memory on the device of a tensor.

    They are on a GPU, which waits for each. A processor is faster on maps that it has in its cache.
    """
    return x.device.type != "cpu"


class NormStack:
    """Batch norms of equal width, each of which closes a map; maps are stacked along the channels.

    Args:
        norms: L batch norms, in consecutive groups.
        counts: Size of each group; they add up to L.
        factor: Factors of the norm's result, ``(L,)``; None is 1.
        training: Whether norms use and record the statistics of the batch.
        statistics: Receives these; write them after the last `run`.
    """

    def __init__(
        self,
        norms: Sequence[nn.BatchNorm2d],
        counts: Sequence[int],
        factor: Tensor | None,
        training: bool,
        statistics: RunningStatistics,
    ) -> None:
        self._training, self._eps = training, norms[0].eps
        channels = norms[0].num_features
        sizes = [channels * count for count in counts]
        scale = shift = None
        if norms[0].affine:
            scale, shift = (torch.stack([getattr(norm, n) for norm in norms]) for n in ("weight", "bias"))
        if factor is not None:
            factor = factor.unsqueeze(1)
            # Torch's backward pass of norms in channels-last reads a scale with stride 0 beyond its end.
            scale = factor.expand(-1, channels).contiguous() if scale is None else factor * scale
            shift = None if shift is None else factor * shift
        nothing = [None] * len(sizes)
        self._scales = nothing if scale is None else scale.flatten().split(sizes)
        self._shifts = nothing if shift is None else shift.flatten().split(sizes)
        self._means = self._variances = cast("Sequence[Tensor | None]", nothing)
        like = norms[0].running_mean
        if like is None:
            return
        if training:
            # A momentum of 1 writes the statistics of the batch here.
            seen = like.new_zeros(2, len(norms), channels)
            statistics.note(norms, *seen.unbind())
        else:
            both = [*(norm.running_mean for norm in norms), *(norm.running_var for norm in norms)]
            seen = torch.stack(cast("list[Tensor]", both))
        mean, variance = seen.view(2, -1).unbind()
        self._means, self._variances = mean.split(sizes), variance.split(sizes)

    def run(self, group: int, maps: Tensor) -> Tensor:
        """Return the normalised maps of a group, ``(B, count C, H, W)``."""
        mean, variance = self._means[group], self._variances[group]
        scale, shift = self._scales[group], self._shifts[group]
        return F.batch_norm(maps, mean, variance, scale, shift, self._training, 1.0, self._eps)


def stack_kernels(weights: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Join depthwise kernels along the channels, smaller ones with a border of zeros.

    Args:
        weights: ``(C, 1, k, k)`` each, k odd.
        dtype: Type of the result.
    """
    side = max(weight.shape[-1] for weight in weights)
    joined = list(weights)
    small = [i for i, weight in enumerate(weights) if weight.shape[-1] < side]
    for k in sorted({weights[i].shape[-1] for i in small}):
        some = [i for i in small if weights[i].shape[-1] == k]
        border = (side - k) // 2
        padded = F.pad(torch.cat([weights[i] for i in some]), [border] * 4)
        for i, weight in zip(some, padded.split([weights[i].shape[0] for i in some]), strict=True):
            joined[i] = weight
    return torch.cat(joined).to(dtype)


def widen(x: Tensor, copies: int) -> Tensor:
    """Repeat a map along the channels, ``(B, copies C, H, W)``, channels last."""
    b, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).unsqueeze(3).expand(b, h, w, copies, c)
    return rows.reshape(b, h, w, copies * c).permute(0, 3, 1, 2)
