"""The kernels as operators of torch, so that whoever counts or records operators sees them.

Maps are ``(groups, B, H, W, C)``, contiguous; kernels are ``(groups, taps, C)``.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from nasforge_plugins.ops.native.library import library

__all__ = ["convolve", "has_kernel", "input_gradient", "weight_gradient"]

SIDES = (3, 5, 7)


class _Form(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("groups", "shared", "images", "height", "width", "out_height", "out_width", "channels"),
            *("kernel", "stride", "dilation", "relu", "threads"),
        )
    ]


def has_kernel(x: Tensor, side: int, stride: int, dilation: int) -> bool:
    """Whether there are kernels for maps like ``x`` and such a convolution."""
    known = side in SIDES and stride in (1, 2) and dilation in (1, 2) and (side < 7 or dilation == 1)
    return known and x.device.type == "cpu" and library(x.dtype) is not None


_operators = torch.library.Library("nasforge", "DEF")
_operators.define("depthwise(Tensor x, Tensor weight, int stride, int dilation, bool relu) -> Tensor")
_operators.define(
    "depthwise_input_(Tensor(a!) out, Tensor grad, Tensor weight, Tensor? gate, int stride, int dilation, "
    "bool add) -> ()"
)
_operators.define(
    "depthwise_weight(Tensor grad, Tensor x, int side, int stride, int dilation, bool relu) -> Tensor"
)


def _forward(x: Tensor, weight: Tensor, stride: int, dilation: int, relu: bool) -> Tensor:
    _, images, height, width, channels = x.shape
    groups, taps, _ = weight.shape
    sides = -(-height // stride), -(-width // stride)
    out = x.new_empty(groups, images, *sides, channels)
    form = _form(out, x, taps, stride, dilation, relu)
    _library(x).forward(ctypes.byref(form), _address(x), _address(weight), _address(out))
    return out


def _input(
    out: Tensor, grad: Tensor, weight: Tensor, gate: Tensor | None, stride: int, dilation: int, add: bool
) -> None:
    form = _form(grad, out, weight.shape[1], stride, dilation, False)
    gate_at = ctypes.c_void_p() if gate is None else _address(gate)
    _library(out).input_gradient(
        ctypes.byref(form), _address(grad), _address(weight), gate_at, ctypes.c_int64(add), _address(out)
    )


def _weight(grad: Tensor, x: Tensor, side: int, stride: int, dilation: int, relu: bool) -> Tensor:
    groups, images, *_, channels = grad.shape
    out = grad.new_empty(images, groups, side * side, channels)
    form = _form(grad, x, side * side, stride, dilation, relu)
    _library(x).weight_gradient(ctypes.byref(form), _address(grad), _address(x), _address(out))
    return out


for _name, _kernel in (
    ("depthwise", _forward),
    ("depthwise_input_", _input),
    ("depthwise_weight", _weight),
):
    _operators.impl(_name, _kernel, "CPU")


def convolve(x: Tensor, weight: Tensor, stride: int, dilation: int, relu: bool) -> Tensor:
    """Convolve channel by channel; one map may serve the kernels of all groups.

    Args:
        x: ``(1 or groups, B, H, W, C)``.
        weight: ``(groups, taps, C)``.
        stride: Step.
        dilation: Distance of the taps.
        relu: Whether ``x`` is rectified first.
    """
    found: Tensor = torch.ops.nasforge.depthwise(x, weight, stride, dilation, relu)
    return found


def input_gradient(
    out: Tensor,
    grad: Tensor,
    weight: Tensor,
    stride: int,
    dilation: int,
    *,
    gate: Tensor | None = None,
    add: bool = False,
) -> None:
    """Write the gradient of `convolve`'s input, before it was rectified.

    Args:
        out: Receives it; ``(1 or groups, B, H, W, C)``.
        grad: Gradient of the result.
        weight: As there.
        stride: As there.
        dilation: As there.
        gate: The result is set to zero where this map of the input's shape is not above zero.
        add: Whether to add to what ``out`` holds, before the gate.
    """
    torch.ops.nasforge.depthwise_input_(out, grad, weight, gate, stride, dilation, add)


def weight_gradient(grad: Tensor, x: Tensor, side: int, stride: int, dilation: int, relu: bool) -> Tensor:
    """Return the gradient of `convolve`'s kernels, ``(groups, taps, C)``."""
    # Sums over images are made here: in the kernel, they would depend on the number of threads.
    products: Tensor = torch.ops.nasforge.depthwise_weight(grad, x, side, stride, dilation, relu)
    return products.sum(0)


def _form(out: Tensor, x: Tensor, taps: int, stride: int, dilation: int, relu: bool) -> _Form:
    groups, images, out_height, out_width, channels = out.shape
    shared, _, height, width, _ = x.shape
    side = next(side for side in SIDES if side * side == taps)
    sizes = groups, shared < groups, images, height, width, out_height, out_width, channels
    return _Form(*sizes, side, stride, dilation, relu, torch.get_num_threads())


def _library(x: Tensor) -> ctypes.CDLL:
    found = library(x.dtype)
    assert found is not None, "has_kernel() says whether there is a kernel"
    return found


def _address(x: Tensor) -> ctypes.c_void_p:
    assert x.is_contiguous()
    return ctypes.c_void_p(x.data_ptr())
