"""Kernels for bundles, as operators of torch, so that profilers and counters see them."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch import library as torch_library
from torch.utils.flop_counter import register_flop_formula

from nasforge_plugins.kernels.c.calling import call, pixels
from nasforge_plugins.kernels.c.compiling import compiled

__all__ = ["BundleResult", "BundleSizes", "backward", "forward", "has_kernels"]

PATHS, VECS = 4, 5  # as in bundle.c
MEAN, VARIANCE = 3, 4


class BundleSizes(NamedTuple):
    """Sizes of a bundle; paths with two convolutions come first.

    Attributes:
        groups: G, the number of edges.
        stride: Step of the first convolutions.
        twice: Number of paths with two convolutions.
        kernels: Side of the kernels, per path.
        dilations: Distance between the taps of the first convolution, per path.
        batch: Whether the norms use the statistics of the batch.
    """

    groups: int
    stride: int
    twice: int
    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    batch: bool

    def to_list(self) -> list[int]:
        """Return the fields in the form of an operator argument."""
        return [self.groups, self.stride, self.twice, int(self.batch), *self.kernels, *self.dilations]


class BundleResult(NamedTuple):
    """Result of `forward`; the ``L`` layers are the first convolutions of all paths, then the second ones.

    Attributes:
        out: Sum of the paths, per edge, ``(G, n, C)``.
        maps: Results of the 1x1 convolutions, ``(L G, n, C)``.
        vecs: ``(L G, 5, C)``.
    """

    out: Tensor
    maps: Tensor
    vecs: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean that each norm subtracts, ``(L G, C)``."""
        return self.vecs[:, MEAN]

    @property
    def variance(self) -> Tensor:
        """Biased variance that each norm divides by, ``(L G, C)``."""
        return self.vecs[:, VARIANCE]


class BundleFormInC(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                *("groups", "images", "height", "width", "out_height", "out_width", "channels"),
                *("stride", "paths", "twice", "batch", "scales", "threads"),
            )
        ),
        ("kernel", ctypes.c_int64 * PATHS),
        ("dilation", ctypes.c_int64 * PATHS),
        ("eps", ctypes.c_double),
    ]


def has_kernels(x: Tensor, shape: BundleSizes) -> bool:
    """Return whether there are kernels for such a bundle of a map like ``x``."""
    known = (
        len(shape.kernels) <= PATHS
        and {3, 5}.issuperset(shape.kernels)
        and {1, 2}.issuperset((shape.stride, *shape.dilations))
    )
    return known and x.device.type == "cpu" and x.numel() > 0 and compiled(x.dtype) is not None


_operators = torch_library.Library("nasforge", "DEF")
_operators.define(
    "bundle(Tensor x, Tensor kernels, Tensor weight, Tensor? scale, Tensor? shift, Tensor? mean, "
    "Tensor? variance, int[] shape, float eps) -> (Tensor, Tensor, Tensor)"
)
_operators.define(
    "bundle_backward(Tensor grad, Tensor x, Tensor kernels, Tensor weight, Tensor maps, Tensor vecs, "
    "int[] shape, bool of_x, bool of_weights) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


@register_flop_formula(torch.ops.nasforge.bundle)
def _forward_flop(*shapes: Any, out_shape: Any = None, **options: Any) -> int:
    """Count the convolutions.

    Torch's counter needs it, so that the MACs of a network are the same on every device.
    """
    x, kernels, weight, numbers = *shapes[:3], shapes[7]
    return 2 * pixels(x, numbers[1]) * (math.prod(weight) + math.prod(kernels))


@register_flop_formula(torch.ops.nasforge.bundle_backward)
def _backward_flop(*shapes: Any, out_shape: Any = None, **options: Any) -> int:
    """Count the gradients, and the depthwise convolutions that the gradients of 1x1 weights repeat."""
    x, kernels, weight = shapes[1:4]
    numbers, _, of_weights = shapes[6:]
    products = math.prod(weight) * (1 + of_weights)
    return 2 * pixels(x, numbers[1]) * (products + math.prod(kernels) * (1 + 2 * of_weights))


def _forward(
    x: Tensor,
    kernels: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    numbers: Sequence[int],
    eps: float,
) -> BundleResult:
    form = _form(x, numbers, eps, 0 if scale is None else scale.shape[1])
    layers, channels = len(weight), form.channels
    pixels = form.images * form.out_height * form.out_width
    done = BundleResult(
        x.new_empty(form.groups, pixels, channels),
        x.new_empty(layers, pixels, channels),
        x.new_empty(layers, VECS, channels),
    )
    if mean is not None and variance is not None:
        done.mean.copy_(mean)
        done.variance.copy_(variance)
    given = (x, kernels, weight, scale, shift, done.maps, done.vecs, done.out)
    _run("forward", x, form, given)
    return done


def _backward(
    grad: Tensor,
    x: Tensor,
    kernels: Tensor,
    weight: Tensor,
    maps: Tensor,
    vecs: Tensor,
    numbers: Sequence[int],
    of_x: bool,
    of_weights: bool,
) -> tuple[Tensor, ...]:
    nothing = x.new_empty(0)
    found = (
        torch.empty_like(x) if of_x else nothing,
        torch.zeros_like(kernels) if of_weights else nothing,
        torch.zeros_like(weight) if of_weights else nothing,
        x.new_empty(len(weight), weight.shape[1]),
        x.new_empty(len(weight), weight.shape[1]),
    )
    given = (grad, x, kernels, weight, maps, vecs, *(t if t.numel() else None for t in found))
    _run("backward", x, _form(x, numbers, 0.0, 0), given)
    return found


_operators.impl("bundle", _forward, "CPU")
_operators.impl("bundle_backward", _backward, "CPU")


def forward(
    x: Tensor,
    kernels: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    running: tuple[Tensor, Tensor] | None,
    shape: BundleSizes,
    eps: float,
) -> BundleResult:
    """Run the convolutions, norms and sums of a bundle.

    Args:
        x: The state, rectified on the way, ``(B, H, W, C)``, contiguous.
        kernels: Depthwise kernels of all layers and groups, one behind the other.
        weight: 1x1 weights, ``(L G, C, C)``.
        scale: ``(L G, C)`` or ``(L G, 1)``; None is 1.
        shift: ``(L G, C)``; None is 0.
        running: Mean and variance of norms that do not use the batch's, ``(L G, C)``.
        shape: Sizes.
        eps: Added to each variance by the norms.
    """
    mean, variance = (None, None) if running is None else running
    given = (None if t is None else t.contiguous() for t in (scale, shift))
    done = torch.ops.nasforge.bundle(x, kernels, weight, *given, mean, variance, shape.to_list(), eps)
    return BundleResult(*done)


def backward(
    grad: Tensor,
    x: Tensor,
    kernels: Tensor,
    weight: Tensor,
    done: Sequence[Tensor],
    shape: BundleSizes,
    *,
    of_x: bool,
    of_weights: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of a bundle: of x, kernels, weight, scale and shift.

    Args:
        grad: Of its sum, ``(G, n, C)``, contiguous.
        x: As in `forward`.
        kernels: As there.
        weight: As there.
        done: Maps and vecs from its result.
        shape: As there.
        of_x: Whether the first of the gradients is wanted; else it is empty.
        of_weights: Whether the next two are.
    """
    arguments = (grad, x, kernels, weight, *done, shape.to_list(), of_x, of_weights)
    found = torch.ops.nasforge.bundle_backward(*arguments)
    return cast("tuple[Tensor, Tensor, Tensor, Tensor, Tensor]", found)


def _form(x: Tensor, numbers: Sequence[int], eps: float, scales: int) -> BundleFormInC:
    groups, stride, twice, batch, *rest = numbers
    paths = len(rest) // 2
    images, height, width, channels = x.shape
    sides = height, width, -(-height // stride), -(-width // stride)
    padding = [1] * (PATHS - paths)
    per_path = ((ctypes.c_int64 * PATHS)(*part, *padding) for part in (rest[:paths], rest[paths:]))
    threads = torch.get_num_threads()
    return BundleFormInC(
        groups, images, *sides, channels, stride, paths, twice, batch, scales, threads, *per_path, eps
    )


def _run(name: str, x: Tensor, form: BundleFormInC, given: Sequence[Tensor | None]) -> None:
    call("bundle.c", x.dtype, name, form, given)
