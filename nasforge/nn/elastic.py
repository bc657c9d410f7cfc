"""Elastic choices: options that use leading slices of the same weights.

The options of an ordinary choice have weights of their own. Those of an elastic one (`Choice.elastic`) share
theirs, as in once-for-all networks and in the entangled weights of transformers: 48 of 64 channels, 3 of 4
heads, the first 12 of 14 blocks. Two ways of computing keep the laws of spaces:

* an option runs by itself, with its slice: pass the options to `weighted_sum`;
* a width that runs through the whole network runs once, at full size, and the option weights become a mask
  over its channels (FBNetV2, Wan et al., CVPR 2020, Eq. 4): `Width`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn.choice import pick_options
from nasforge.nn.output import OptionWeights, Picked

__all__ = [
    "Extent",
    "Sliced",
    "SlicedLayerNorm",
    "SlicedLinear",
    "Width",
    "cut",
    "leading",
    "sliced_tensors",
]


class Sliced:
    """Marks a module whose own tensors are leading slices of those with the same names in a supernet."""


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


def leading(part: Sequence[int], whole: Sequence[int]) -> bool:
    """Return whether a tensor of shape ``part`` can be a leading slice of one of shape ``whole``."""
    return len(part) == len(whole) and all(p <= w for p, w in zip(part, whole, strict=True))


def sliced_tensors(module: nn.Module) -> set[str]:
    """Return the names of the parameters and buffers that `Sliced` modules inside a module own."""
    owners = {name for name, part in module.named_modules() if isinstance(part, Sliced)}
    tensors = chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    )
    return {name for name, _ in tensors if name.rpartition(".")[0] in owners}


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
