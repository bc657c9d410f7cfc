"""Blocks of the chain: mobile inverted bottleneck, its fixed first form, squeeze-and-excitation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.nn import DropPath

__all__ = ["MBConv", "SeparableBlock", "SqueezeExcite", "round_channels"]


def round_channels(channels: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of ``divisor``, at least one, never losing more than a tenth.

    Args:
        channels: The wanted number.
        divisor: Divides the result.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class SqueezeExcite(nn.Module):
    """Scales channels by a gate computed from their means (Hu et al., 2018; hard-sigmoid as in MobileNetV3).

    Args:
        channels: Channels in and out; a quarter of them, rounded by `round_channels`, in between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels / 4)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` scaled by its gate, shape ``(B, C, H, W)``."""
        means = x.mean((2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(torch.relu(self.reduce(means))))


class MBConv(nn.Module):
    """Inverted bottleneck: widen, filter each channel, gate, narrow (Sandler et al., 2018; Tan et al., 2019).

    The input is added to the output where stride and width allow it.

    Args:
        c_in: Input channels.
        c_out: Output channels.
        kernel: Side of the depthwise convolution.
        expansion: Inner width in multiples of ``c_in``.
        stride: Of the depthwise convolution.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = c_in * expansion
        self.expand = nn.Conv2d(c_in, inner, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(inner)
        self.depthwise = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(inner)
        self.squeeze = SqueezeExcite(inner)
        self.project = nn.Conv2d(inner, c_out, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(c_out)
        self.residual = stride == 1 and c_in == c_out
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, c_in, H, W)`` to ``(B, c_out, H / stride, W / stride)``."""
        y = self.project_norm(self.narrow(x))
        return x + self.drop_path(y) if self.residual else y

    def narrow(self, x: Tensor) -> Tensor:
        """Return the input of the last batch norm, shape ``(B, c_out, H / stride, W / stride)``."""
        y = F.silu(self.expand_norm(self.expand(x)))
        return self.project(self.squeeze(F.silu(self.depthwise_norm(self.depthwise(y)))))


class SeparableBlock(nn.Module):
    """The fixed first block: an `MBConv` with kernel 3 that does not widen and so needs no first convolution.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.squeeze = SqueezeExcite(channels)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(channels)
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        y = self.squeeze(F.silu(self.depthwise_norm(self.depthwise(x))))
        return x + self.drop_path(self.project_norm(self.project(y)))
