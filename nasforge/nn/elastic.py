"""Elastic choices: options that use slices of the same weights.

The options of an ordinary choice have weights of their own. Those of an elastic one (`Choice.elastic`) share
theirs, as in once-for-all networks and in the entangled weights of transformers: 48 of 64 channels, 3 of 4
heads, the first 12 of 14 blocks, the middle of a kernel. Two ways of computing keep the laws of spaces:

* an option runs by itself, with its slice: pass the options to `weighted_sum`;
* a width that runs through the whole network runs once, at full size, and the option weights become a mask
  over its channels (FBNetV2, Wan et al., CVPR 2020, Eq. 4): `Width`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn.choice import pick_options
from nasforge.nn.output import OptionWeights, Picked

__all__ = [
    "Extent",
    "Sliced",
    "SlicedBatchNorm2d",
    "SlicedConv2d",
    "SlicedLayerNorm",
    "SlicedLinear",
    "Width",
    "cut",
    "place_slice",
    "sliced_tensors",
]


class Sliced:
    """Marks a module whose own tensors are slices of those with the same names in a supernet.

    Slices are leading ones, but for the dimensions in `centred`.
    """

    centred: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    """By name of a tensor, the dimensions in whose middle a slice lies, such as both sides of a kernel. Their
    lengths are odd in all networks, or even in all."""


def cut(tensor: Tensor, *sizes: int) -> Tensor:
    """Return the leading entries of the first dimensions of a tensor, as contiguous memory.

    Args:
        tensor: Parameter or buffer of a supernet.
        sizes: How many entries of each dimension; dimensions that are left out stay whole.

    Returns:
        The tensor itself if nothing is cut off. A slice is copied, so that a supernet computes with the same
        memory layout, and so with the same rounding, as a network that has the slice.
    """
    if tensor.shape[: len(sizes)] == sizes:
        return tensor
    return tensor[tuple(map(slice, sizes))].contiguous()


def place_slice(
    part: Sequence[int], whole: Sequence[int], centred: Sequence[int] = ()
) -> tuple[slice, ...] | None:
    """Return where a slice lies in a whole tensor, by dimension; None if it does not fit.

    Args:
        part: Shape of the slice.
        whole: Shape of the tensor.
        centred: Dimensions in whose middle the slice lies; see `Sliced.centred`.
    """
    if len(part) != len(whole):
        return None
    spare = [w - p for p, w in zip(part, whole, strict=True)]
    if min(spare, default=0) < 0 or any(spare[dim] % 2 for dim in centred):
        return None
    starts = [left // 2 if dim in centred else 0 for dim, left in enumerate(spare)]
    return tuple(slice(start, start + size) for start, size in zip(starts, part, strict=True))


def sliced_tensors(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the parameters and buffers that `Sliced` modules inside a module own.

    Returns:
        The dimensions in whose middle slices lie, by name of the tensor.
    """
    owners = {name: part for name, part in module.named_modules() if isinstance(part, Sliced)}
    tensors = chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    )
    found = {}
    for name, _ in tensors:
        owner, _, own = name.rpartition(".")
        if owner in owners:
            found[name] = tuple(owners[owner].centred.get(own, ()))
    return found


class Extent(NamedTuple):
    """How much of a width takes part in a forward pass.

    Attributes:
        size: Leading channels that are computed.
        weight: The factor of these channels, a scalar or ``(size,)``; None for 1.
    """

    size: int
    weight: Tensor | None = None

    def scale(self, x: Tensor) -> Tensor:
        """Return ``x``, whose last dimension is the width, times the option weights."""
        return x if self.weight is None else x * self.weight.to(x.dtype)


class Width:
    """Channels of which an elastic choice keeps some.

    Args:
        choice: The elastic choice.
        size: Returns the number of channels of an option.
        arch: The architecture; None keeps every option.

    Attributes:
        largest: Channels of the largest option that is kept.
    """

    def __init__(self, choice: Choice, size: Callable[[str], int], arch: Arch | None = None) -> None:
        self.choice = choice
        self.sizes = {option: size(option) for option in pick_options(choice, arch)}
        self.largest = max(self.sizes.values())

    def under(self, weights: OptionWeights | None, like: Tensor) -> Extent:
        """Return the part of the width that takes part under option weights.

        One option is a slice. A weight for every option is a mask: a channel weighs as much as all options
        that have it. Layers of this width multiply their output with it; see `Extent.scale`.

        Args:
            weights: Option weights by choice name; see `OptionWeights`.
            like: Has the device and type of the mask, where the choice has no weights.
        """
        given = None if weights is None else weights.get(self.choice.name)
        if isinstance(given, int):
            size = self.sizes[self.choice.options[given]]
            return Extent(size, given.weight if isinstance(given, Picked) else None)
        if given is None and len(self.sizes) == 1:
            return Extent(self.largest)
        if given is None:
            given = torch.ones(len(self.choice.options), device=like.device, dtype=like.dtype)
        channels = torch.arange(self.largest, device=given.device)
        terms = [given[self.choice.options.index(o)] * (channels < n) for o, n in self.sizes.items()]
        return Extent(self.largest, torch.stack(terms).sum(0))


class SlicedLinear(nn.Linear, Sliced):
    """A linear layer that also computes with a leading slice of its weights."""

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Return the first outputs for the first inputs.

        Args:
            x: Shape ``(…, inputs)``: at most as many as the layer has.
            outputs: How many are computed; None for all.
        """
        rows = self.out_features if outputs is None else outputs
        bias = None if self.bias is None else cut(self.bias, rows)
        return F.linear(x, cut(self.weight, rows, x.shape[-1]), bias)


class SlicedLayerNorm(nn.LayerNorm, Sliced):
    """A layer norm over as many leading channels as take part."""

    def forward(self, x: Tensor, extent: Extent | None = None) -> Tensor:
        """Normalise the last dimension of ``x``.

        Under a mask, mean and variance are weighted by it, so that channels without weight do not count: a
        mask of zeros and ones gives the norm of the slice. The result is multiplied with the option weights.

        Args:
            x: Shape ``(…, channels)``.
            extent: The part of the width that ``x`` has; None for all of it.
        """
        weight, bias = cut(self.weight, x.shape[-1]), cut(self.bias, x.shape[-1])
        if extent is None or extent.weight is None or not extent.weight.dim():
            normed = F.layer_norm(x, x.shape[-1:], weight, bias, self.eps)
            return normed if extent is None else extent.scale(normed)
        shares = (extent.weight / extent.weight.sum()).to(x.dtype)
        centred = x - (x * shares).sum(-1, keepdim=True)
        variance = (centred.square() * shares).sum(-1, keepdim=True)
        return extent.scale(centred * (variance + self.eps).rsqrt() * weight + bias)


class SlicedConv2d(nn.Conv2d, Sliced):
    """A convolution, plain or depthwise, that also computes with fewer channels or a smaller kernel.

    A smaller kernel is the middle of the largest, and the padding shrinks with it, so that maps keep their
    size. Options are those of `nn.Conv2d`: square kernels, padding in pixels.

    Raises:
        ValueError: The channels are in groups, but not each in its own; the kernel is not square; or the
            padding is not a number of zeros.
    """

    centred = MappingProxyType({"weight": (2, 3)})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.groups > 1 and not self.groups == self.in_channels == self.out_channels:
            raise ValueError(
                f"SlicedConv2d: groups={self.groups} for {self.in_channels} channels in and "
                f"{self.out_channels} out. Take one group, or as many as there are channels in and out."
            )
        if len(set(self.kernel_size)) > 1:
            raise ValueError(f"SlicedConv2d: a kernel of {self.kernel_size} is not square. Give one side.")
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            raise ValueError(
                f"SlicedConv2d: padding={self.padding!r}, padding_mode={self.padding_mode!r}. A smaller "
                "kernel needs fewer zeros: give their number."
            )

    def forward(self, x: Tensor, outputs: int | None = None, kernel: int | None = None) -> Tensor:
        """Return the first outputs for the first inputs, with the middle of the kernel.

        Args:
            x: ``(B, inputs, H, W)``: at most as many channels as the layer has.
            outputs: How many channels are computed; None for all. A depthwise convolution computes those
                of ``x``.
            kernel: Side of the kernel; None for the largest.
        """
        depthwise, largest, inputs = self.groups > 1, self.kernel_size[0], x.shape[1]
        rows = inputs if depthwise else self.out_channels if outputs is None else outputs
        side = largest if kernel is None else kernel
        weight = cut(self.weight, rows, 1 if depthwise else inputs)
        shrink = (largest - side) // 2
        if shrink:
            weight = weight[..., shrink : shrink + side, shrink : shrink + side].contiguous()
        pads = cast("tuple[int, ...]", self.padding)
        padding = [pad - shrink * step for pad, step in zip(pads, self.dilation, strict=True)]
        bias = None if self.bias is None else cut(self.bias, rows)
        groups = inputs if depthwise else 1
        return F.conv2d(x, weight, bias, self.stride, padding, self.dilation, groups)


class SlicedBatchNorm2d(nn.BatchNorm2d, Sliced):
    """A batch norm over as many leading channels as there are; the statistics of the others stay."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps ``(B, channels, H, W)``."""
        channels = x.shape[1]
        if channels == self.num_features:
            return super().forward(x)
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        mean, variance, weight, bias = (
            None if tensor is None else tensor[:channels]
            for tensor in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        return F.batch_norm(
            x, mean, variance, weight, bias, self.training or mean is None, momentum or 0.0, self.eps
        )
