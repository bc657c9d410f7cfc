"""Operations without weights: pooling, concatenation and the absent edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Noise", "Zero", "average_pool", "concatenate", "pool"]


class Zero(nn.Module):
    """The operation ``none``: zeros of the size that the other operations return.

    Args:
        stride: Input side divided by output side.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros, shape ``(B, C, ⌈H / stride⌉, ⌈W / stride⌉)``."""
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class Noise(nn.Module):
    """The operation ``noise``: standard normal numbers instead of the input (Zela et al., space S4).

    Args:
        stride: Input side divided by output side.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Return noise, shape ``(B, C, ⌈H / stride⌉, ⌈W / stride⌉)``; it has no gradient."""
        return torch.randn_like(x[:, :, :: self.stride, :: self.stride])


def pool(kind: str, channels: int, stride: int = 1, *, batch_norm: bool = False) -> nn.Module:
    """Return a 3x3 pooling that keeps the side, or halves it.

    Args:
        kind: ``"max"`` or ``"avg"``; the average leaves the padding out.
        channels: Channels of the input; only the batch norm needs them.
        stride: Step of the window.
        batch_norm: Whether a batch norm without scale and shift follows.
    """
    window = (
        nn.MaxPool2d(3, stride, 1) if kind == "max" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    )
    return nn.Sequential(window, nn.BatchNorm2d(channels, affine=False)) if batch_norm else window


def average_pool(x: Tensor) -> Tensor:
    """Return the mean over a 3x3 window of the pixels inside the image, ``(B, C, H, W)`` as the input."""
    return nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _Concatenate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        ctx.sizes = [m.shape[1] for m in maps]
        return torch.cat(maps, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return tuple(g.contiguous(memory_format=torch.channels_last) for g in grad.split(ctx.sizes, 1))


def concatenate(maps: Sequence[Tensor]) -> Tensor:
    """Join maps along the channels.

    Torch's own function hands slices of its gradient back; batch norm's gradient is far slower on those than
    on maps of their own.

    Args:
        maps: ``(B, C_i, H, W)`` each, channels last.
    """
    return _Concatenate.apply(*maps)
