"""The operations of the benchmark's cell and its residual block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasforge_plugins.ops.basics import average_pool

__all__ = ["NoOperation", "NormalisedConv", "ResidualReduction", "make_operation"]


class NormalisedConv(nn.Module):
    """ReLU, convolution, batch-norm; ``nor_conv_1x1`` and ``nor_conv_3x3``.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel; odd.
        stride: Stride of the convolution.
        affine: Whether the batch-norm learns scale and shift.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        return self.norm(self.conv(x.relu()))


class NoOperation(nn.Module):
    """``none``: zeros of the input's shape.

    Args:
        cut: Whether the input is cut off; otherwise its gradient is zero.

    Attributes:
        zero: The factor 0 on the device of the network.
    """

    zero: Tensor

    def __init__(self, cut: bool = True) -> None:
        super().__init__()
        self.cut = cut
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return x.new_zeros(()).expand_as(x) if self.cut else x * self.zero.to(x.dtype)


class AveragePool(nn.Module):
    """``avg_pool_3x3``: the mean over a 3x3 window of the pixels inside the image."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled map, same shape."""
        return average_pool(x)


class ResidualReduction(nn.Module):
    """The block between two stages: halves the side, changes the width (He et al., 2016, basic block).

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = NormalisedConv(inputs, outputs, 3, stride=2)
        self.second = NormalisedConv(outputs, outputs, 3)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, S, S)`` to ``(B, outputs, ceil(S / 2), ceil(S / 2))``."""
        # Rounding up makes odd sides fit the strided convolution; even sides are as in the benchmark.
        pooled = nn.functional.avg_pool2d(x, 2, 2, ceil_mode=True)
        return self.shortcut(pooled) + self.second(self.first(x))


def make_operation(name: str, channels: int, affine: bool, cut: bool = True) -> nn.Module:
    """Build the operation of an edge.

    Args:
        name: One of the benchmark's five.
        channels: Channels in and out.
        affine: Whether its batch-norm, if any, learns scale and shift.
        cut: Whether ``none`` cuts its input off.
    """
    match name:
        case "none":
            return NoOperation(cut)
        case "skip_connect":
            return nn.Identity()
        case "avg_pool_3x3":
            return AveragePool()
        case _:
            return NormalisedConv(channels, channels, 1 if name == "nor_conv_1x1" else 3, affine=affine)
