"""Convolutions of the cell spaces: pre-activated, without bias, closed by a batch norm.

All of them map ``(B, C_in, H, W)`` to ``(B, C_out, ⌈H / stride⌉, ⌈W / stride⌉)``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FactorizedReduce", "ReluConvBn", "SeparableConv", "separable_twice"]


class ReluConvBn(nn.Module):
    """ReLU, a square convolution, batch norm.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        kernel: Odd side of the kernel; the input is padded by half of it.
        stride: Step of the convolution.
        affine: Whether the batch norm learns scale and shift.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, *, affine: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised convolution of ``relu(x)``."""
        return self.forward_rectified(F.relu(x))

    def forward_rectified(self, x: Tensor) -> Tensor:
        """Return the result of `forward` for an input that is rectified already."""
        return self.norm(self.conv(x))


class FactorizedReduce(nn.Module):
    """Halve the side by two 1x1 convolutions, of which one sees the image shifted by one pixel.

    Sides may be odd: the shifted image then ends in a row and a column of zeros.

    Args:
        channels_in: Channels of the input.
        channels_out: Even number of channels; each convolution gives half of them.
        affine: Whether the batch norm learns scale and shift.
    """

    def __init__(self, channels_in: int, channels_out: int, *, affine: bool = True) -> None:
        super().__init__()
        self.even = nn.Conv2d(channels_in, channels_out // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out - channels_out // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised halves of ``relu(x)``, side by side along the channels."""
        return self.forward_rectified(F.relu(x))

    def forward_rectified(self, x: Tensor) -> Tensor:
        """Return the result of `forward` for an input that is rectified already."""
        return self.norm(self.convolve(x))

    def convolve(self, x: Tensor) -> Tensor:
        """Return the input of the batch norm, for an input that is rectified already."""
        return torch.cat([self.even(x), self.odd(self.shift(x))], 1)

    @staticmethod
    def shift(x: Tensor) -> Tensor:
        """Return the input of the second convolution."""
        height, width = x.shape[2:]
        shifted = x if (height | width) % 2 == 0 else F.pad(x, (0, width % 2, 0, height % 2))
        return shifted[:, :, 1:, 1:]


class SeparableConv(nn.Module):
    """ReLU, depthwise and 1x1 convolution, batch norm; with ``dilation=2`` the ``dil_conv`` of DARTS.

    Args:
        channels: Channels of input and output.
        kernel: Odd side of the depthwise kernel.
        stride: Step of the depthwise convolution.
        dilation: Distance between the taps of the kernel.
        affine: Whether the batch norm learns scale and shift.
    """

    def __init__(
        self, channels: int, kernel: int, stride: int = 1, dilation: int = 1, *, affine: bool = True
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.depthwise = nn.Conv2d(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised separable convolution of ``relu(x)``."""
        return self.norm(self.pointwise(self.depthwise(F.relu(x))))


def separable_twice(channels: int, kernel: int, stride: int = 1, *, affine: bool = True) -> nn.Sequential:
    """Return the ``sep_conv`` of DARTS: two separable convolutions, of which the first one strides."""
    return nn.Sequential(
        SeparableConv(channels, kernel, stride, affine=affine),
        SeparableConv(channels, kernel, affine=affine),
    )
