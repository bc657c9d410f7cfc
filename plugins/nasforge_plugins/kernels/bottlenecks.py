"""The operator for the inverted bottlenecks of a block, up to their last norm.

Fallback: plain modules.

Shapes: the input is ``(B, c_in, H, W)``, and each bottleneck returns ``(B, c_out, H / stride, W / stride)``.
The kernels in C compute float32 and float64 on the CPU without autocast, depthwise sides 3, 5 and 7, strides
1 and 2, and one ``eps`` for all norms, which have to use the statistics of the batch. Gradients: of the input
and of all parameters, first derivatives only with kernels. Running statistics move as in the modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor, nn

from nasforge_plugins.kernels.door import find_kernel

__all__ = ["Bottleneck", "Excitation", "narrow"]


class Excitation(Protocol):
    """The two 1x1 convolutions of a squeeze-and-excitation, with a ReLU between and a hard sigmoid behind."""

    reduce: nn.Conv2d
    expand: nn.Conv2d


class Bottleneck(Protocol):
    """1x1 convolution, norm, SiLU, depthwise convolution, norm, SiLU, excitation, 1x1 convolution."""

    expand: nn.Conv2d
    expand_norm: nn.BatchNorm2d
    depthwise: nn.Conv2d
    depthwise_norm: nn.BatchNorm2d
    project: nn.Conv2d

    @property
    def squeeze(self) -> Excitation:
        """The gate of the channels."""

    def narrow(self, x: Tensor) -> Tensor:
        """Compute all this with the plain modules."""


def narrow(blocks: Sequence[Bottleneck], x: Tensor) -> Iterator[Tensor]:
    """Yield the result of each bottleneck.

    Args:
        blocks: Bottlenecks that read the same input.
        x: The input, ``(B, c_in, H, W)``.
    """
    kernel = find_kernel("bottlenecks", blocks, x)
    return (block.narrow(x) for block in blocks) if kernel is None else iter(kernel(blocks, x))
