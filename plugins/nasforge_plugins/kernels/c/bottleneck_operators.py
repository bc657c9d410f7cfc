"""Kernels for the inside of inverted bottlenecks, as operators of torch, visible to profilers and counters.

Maps are ``(B, H, W, C)``, contiguous; ``bottleneck.c`` describes each function.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any, cast

import torch
from torch import Tensor
from torch import library as torch_library
from torch.utils.flop_counter import register_flop_formula

from nasforge_plugins.kernels.c.calling import call, pixels
from nasforge_plugins.kernels.c.compiling import compiled

__all__ = ["excite", "filter_map", "has_kernels", "squeeze", "unexcite", "unfilter", "unsqueeze"]

SOURCE = "bottleneck.c"
SIDES = frozenset({3, 5, 7})
STRIDES = frozenset({1, 2})
FORM = ["images", "height", "width", "out_height", "out_width", "channels", "kernel", "stride", "threads"]


class BottleneckFormInC(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in FORM]


def has_kernels(x: Tensor, side: int, stride: int) -> bool:
    """Return whether there are kernels for maps like ``x`` and such a depthwise convolution."""
    known = side in SIDES and stride in STRIDES and x.device.type == "cpu" and x.numel() > 0
    return known and compiled(x.dtype, SOURCE) is not None


_operators = torch_library.Library("nasforge", "FRAGMENT")


def _define(name: str, schema: str, run: Any) -> None:
    _operators.define(name + schema)
    _operators.impl(name, run, "CPU")


def _filter(a: Tensor, kernel: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    form = _convolution(a, kernel, stride)
    y = a.new_empty(form.images, form.out_height, form.out_width, form.channels)
    mean, variance = a.new_empty(2, form.channels).unbind()
    _run("filter", form, a, kernel, y, mean, variance)
    return y, mean, variance


def _squeeze(y: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    means = y.new_empty(y.shape[0], y.shape[3])
    _run("squeeze", _pointwise(y), y, gain, bias, means)
    return means


def _excite(y: Tensor, gain: Tensor, bias: Tensor, gate: Tensor) -> Tensor:
    z = torch.empty_like(y)
    _run("excite", _pointwise(y), y, gain, bias, gate, z)
    return z


def _unexcite(grad: Tensor, y: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    to_gate = y.new_empty(y.shape[0], y.shape[3])
    _run("unexcite", _pointwise(y), grad, y, gain, bias, to_gate)
    return to_gate


def _unsqueeze(
    grad: Tensor, y: Tensor, gain: Tensor, bias: Tensor, gate: Tensor, level: Tensor, mean: Tensor
) -> Tensor:
    sums = y.new_empty(2, y.shape[3])
    _run("unsqueeze", _pointwise(y), grad, y, gain, bias, gate, level, mean, sums)
    return sums


def _unfilter(
    grad: Tensor,
    y: Tensor,
    a: Tensor,
    kernel: Tensor,
    vectors: Tensor,
    stride: int,
    of_kernel: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    to_a, sums = torch.empty_like(a), a.new_empty(2, a.shape[3])
    to_kernel = torch.empty_like(kernel) if of_kernel else kernel.new_empty(0)
    found = to_a, to_kernel if of_kernel else None, sums
    _run("unfilter", _convolution(a, kernel, stride), grad, y, a, kernel, *vectors.unbind(), *found)
    return to_a, to_kernel, sums


_define("filter", "(Tensor a, Tensor kernel, int stride) -> (Tensor, Tensor, Tensor)", _filter)
_define("squeeze", "(Tensor y, Tensor gain, Tensor bias) -> Tensor", _squeeze)
_define("excite", "(Tensor y, Tensor gain, Tensor bias, Tensor gate) -> Tensor", _excite)
_define("unexcite", "(Tensor grad, Tensor y, Tensor gain, Tensor bias) -> Tensor", _unexcite)
_define(
    "unsqueeze_",
    "(Tensor(a!) grad, Tensor y, Tensor gain, Tensor bias, Tensor gate, Tensor level, Tensor mean) -> Tensor",
    _unsqueeze,
)
_define(
    "unfilter",
    "(Tensor grad, Tensor y, Tensor a, Tensor kernel, Tensor vectors, int stride, bool of_kernel)"
    " -> (Tensor, Tensor, Tensor)",
    _unfilter,
)


@register_flop_formula(torch.ops.nasforge.filter)
def _filter_flop(a: Any, kernel: Any, stride: int, *, out_shape: Any = None, **options: Any) -> int:
    """Count the convolution, so that the arithmetic of a network is the same on every device."""
    return 2 * pixels(a, stride) * math.prod(kernel)


@register_flop_formula(torch.ops.nasforge.unfilter)
def _unfilter_flop(*shapes: Any, out_shape: Any = None, **options: Any) -> int:
    """Count its gradients."""
    _, _, a, kernel, _, stride, of_kernel = shapes
    return 2 * pixels(a, stride) * math.prod(kernel) * (1 + of_kernel)


def filter_map(a: Tensor, kernel: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the depthwise convolution of ``silu(a)``, and its mean and biased variance per channel.

    Args:
        a: ``(B, H, W, C)``.
        kernel: ``(C, 1, k, k)``; the image is padded by half of k.
        stride: Of the convolution.
    """
    return cast("tuple[Tensor, Tensor, Tensor]", torch.ops.nasforge.filter(a, kernel, stride))


def squeeze(y: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Return the mean of ``silu(gain y + bias)`` over each image, ``(B, C)``."""
    return cast("Tensor", torch.ops.nasforge.squeeze(y, gain, bias))


def excite(y: Tensor, gain: Tensor, bias: Tensor, gate: Tensor) -> Tensor:
    """Return ``silu(gain y + bias)`` times the ``(B, C)`` of ``gate``."""
    return cast("Tensor", torch.ops.nasforge.excite(y, gain, bias, gate))


def unexcite(grad: Tensor, y: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Return the gradient of the gate, ``(B, C)``."""
    return cast("Tensor", torch.ops.nasforge.unexcite(grad, y, gain, bias))


def unsqueeze(
    grad: Tensor, y: Tensor, gain: Tensor, bias: Tensor, gate: Tensor, level: Tensor, mean: Tensor
) -> Tensor:
    """Turn the gradient of the result of `excite` into that of ``gain y + bias``, in place.

    Args:
        grad: Overwritten.
        y: The convolved map.
        gain: ``(C,)``.
        bias: ``(C,)``.
        gate: ``(B, C)``.
        level: Gradient that every pixel of an image has through the mean, ``(B, C)``.
        mean: Mean of ``y``.

    Returns:
        Sums of it and of its product with ``y - mean``, ``(2, C)``.
    """
    return cast("Tensor", torch.ops.nasforge.unsqueeze_(grad, y, gain, bias, gate, level, mean))


def unfilter(
    grad: Tensor, y: Tensor, a: Tensor, kernel: Tensor, vectors: Tensor, stride: int, *, of_kernel: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of ``a`` and the kernel; sums of the first and of its product with ``a``, ``(2, C)``.

    Args:
        grad: The gradient that `unsqueeze` computed in place.
        y: The convolved map.
        a: As in `filter_map`.
        kernel: As there.
        vectors: gain, mean, slope and level, ``(4, C)``: the gradient of the convolved map is
            ``gain grad + slope (y - mean) + level``.
        stride: As there.
        of_kernel: Whether the second gradient is wanted; else it is empty.
    """
    found = torch.ops.nasforge.unfilter(grad, y, a, kernel, vectors, stride, of_kernel)
    return cast("tuple[Tensor, Tensor, Tensor]", found)


def _convolution(a: Tensor, kernel: Tensor, stride: int) -> BottleneckFormInC:
    images, height, width, channels = a.shape
    sides = height, width, -(-height // stride), -(-width // stride)
    return BottleneckFormInC(images, *sides, channels, kernel.shape[-1], stride, torch.get_num_threads())


def _pointwise(y: Tensor) -> BottleneckFormInC:
    images, height, width, channels = y.shape
    return BottleneckFormInC(images, height, width, height, width, channels, 1, 1, torch.get_num_threads())


def _run(name: str, form: BottleneckFormInC, first: Tensor, *given: Tensor | None) -> None:
    call(SOURCE, first.dtype, name, form, (first, *given))
