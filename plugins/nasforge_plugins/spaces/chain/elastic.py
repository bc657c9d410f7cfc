"""Inverted bottlenecks whose kernel and expansion are slices of one set of weights (once-for-all).

Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020, section
3.3. Their matrices that transform the middle of a kernel into a smaller kernel are left out: a smaller kernel
is the middle itself, so that weights are inherited by copying.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn import (
    DropPath,
    OptionWeights,
    SlicedBatchNorm2d,
    SlicedConv2d,
    bypass,
    part_of,
    pick_options,
    weighted_sum,
)
from nasforge_plugins.spaces.chain.blocks import round_channels

__all__ = ["ElasticMBConv"]


class ElasticSqueezeExcite(nn.Module):
    """A `SqueezeExcite` that also gates leading channels, with as many inner ones as it would have for them.

    Args:
        channels: The largest number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels / 4)
        self.reduce = SlicedConv2d(channels, squeezed, 1)
        self.expand = SlicedConv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` scaled by its gate, shape ``(B, C, H, W)``."""
        channels = x.shape[1]
        means = x.mean((2, 3), keepdim=True)
        squeezed = torch.relu(self.reduce(means, round_channels(channels / 4)))
        return x * F.hardsigmoid(self.expand(squeezed, channels))


class ElasticMBConv(nn.Module):
    """An `MBConv` with an elastic kernel and an elastic inner width.

    The input is added to the output where stride and width allow it.

    Args:
        c_in: Input channels.
        c_out: Output channels.
        stride: Of the depthwise convolution.
        kernel: Decides the side of the depthwise convolution.
        expansion: Decides the inner width, in multiples of ``c_in``.
        arch: The architecture; None keeps every kernel and expansion.
        share: The block sees the first of so many groups of channels; see `nasforge.nn.bypass`.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        stride: int,
        kernel: Choice,
        expansion: Choice,
        arch: Arch | None = None,
        share: int = 1,
    ) -> None:
        super().__init__()
        c_in, c_out = part_of(c_in, share), part_of(c_out, share)
        self.kernel, self.expansion, self.share, self.width = kernel, expansion, share, c_in
        self.kernels, self.expansions = pick_options(kernel, arch), pick_options(expansion, arch)
        side, inner = int(self.kernels[-1]), c_in * int(self.expansions[-1])
        self.expand = SlicedConv2d(c_in, inner, 1, bias=False)
        self.expand_norm = SlicedBatchNorm2d(inner)
        self.depthwise = SlicedConv2d(inner, inner, side, stride, side // 2, groups=inner, bias=False)
        self.depthwise_norm = SlicedBatchNorm2d(inner)
        self.squeeze = ElasticSqueezeExcite(inner)
        self.project = SlicedConv2d(inner, c_out, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(c_out)
        self.residual = stride == 1 and c_in == c_out
        self.drop_path = DropPath()

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Map ``(B, c_in, H, W)`` to ``(B, c_out, H / stride, W / stride)``; see `OptionWeights`."""
        mix = partial(self.mix, weights=weights)
        return bypass(x, self.share, mix) if self.share > 1 else mix(x)

    def mix(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return the result at the channels that the block sees."""
        terms = ((option, partial(self.widen, x, option, weights)) for option in self.expansions)
        y = weighted_sum(self.expansion, terms, weights)
        return x + self.drop_path(y) if self.residual else y

    def widen(self, x: Tensor, expansion: str, weights: OptionWeights | None) -> Tensor:
        """Return the weighted sum over the kernels at one inner width."""
        y = F.silu(self.expand_norm(self.expand(x, self.width * int(expansion))))
        terms = ((option, partial(self.narrow, y, int(option))) for option in self.kernels)
        return weighted_sum(self.kernel, terms, weights)

    def narrow(self, y: Tensor, kernel: int) -> Tensor:
        """Return the result of one kernel, ``(B, c_out, H / stride, W / stride)``."""
        y = F.silu(self.depthwise_norm(self.depthwise(y, kernel=kernel)))
        return self.project_norm(self.project(self.squeeze(y)))
