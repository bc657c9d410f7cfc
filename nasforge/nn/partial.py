"""Partial channels: options compute on some channels, the others pass by (PC-DARTS, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.errors import RunError

__all__ = ["bypass", "part_of"]


def bypass(x: Tensor, share: int, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Mix the first of ``share`` groups of channels, let the others pass, and shuffle them (PC-DARTS, Eq. 2).

    Where the mixture is smaller than its input, a max pool halves the channels that pass.

    Args:
        x: ``(B, C, H, W)``.
        share: Number of groups; divides C.
        mix: Maps ``(B, C / share, H, W)`` to as many channels of the same or of half the side.

    Returns:
        ``(B, C, H, W)`` or ``(B, C, H / 2, W / 2)``, in the memory layout of ``x``. The channels of the
        groups alternate, so that the next options see others.
    """
    count = part_of(x.shape[1], share)
    mixed, passed = mix(x[:, :count]), x[:, count:]
    if mixed.shape[2:] != passed.shape[2:]:
        passed = F.max_pool2d(passed, 2, ceil_mode=True)
    groups = torch.cat([mixed, passed], 1).unflatten(1, (share, count))
    shuffled = groups.transpose(1, 2).flatten(1, 2)
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    return shuffled.contiguous(memory_format=torch.channels_last) if channels_last else shuffled


def part_of(channels: int, share: int) -> int:
    """Return how many channels the options see.

    Args:
        channels: Of the map.
        share: Number of groups.

    Raises:
        RunError: They cannot be divided evenly.
    """
    if channels % share:
        raise RunError(
            f"partial channels: {channels} channels cannot be divided into {share} groups. Take another "
            "number of groups, or a search network whose channels are a multiple of it."
        )
    return channels // share
