"""Depthwise convolutions of several groups at once, by the kernels of `native` or by torch.

A map is ``(groups, B, H, W, C)``. With `native` it is contiguous; with torch, which convolves all groups as
one image of more channels, its memory is that of ``(B, H, W, groups, C)``. Whoever works on pixels,
``map.flatten(1, 3)``, need not know. All groups may read one map of a single group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasforge_plugins.ops import interleaving
from nasforge_plugins.ops.native import depthwise as native

__all__ = ["Kernels", "Layer", "as_map", "depthwise", "input_gradient", "readable", "stack", "unstack"]


class Kernels(NamedTuple):
    """Kernels of several groups, and how they move.

    Attributes:
        weight: ``(groups, taps, C)`` for `native`, ``(groups C, 1, k, k)`` for torch.
        groups: How many groups.
        side: k.
        stride: Step of the convolution.
        dilation: Distance between taps.
    """

    weight: Tensor
    groups: int
    side: int
    stride: int
    dilation: int

    @property
    def native(self) -> bool:
        """Whether the kernels in C run."""
        return self.weight.dim() == 3

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve what `readable` returned; the result is a map of all groups."""
        if self.native:
            return native.convolve(x, self.weight, self.stride, self.dilation, True)
        image = interleaving.convolve(_image(x, self.groups), self.weight, self.stride, self.dilation)
        return _map(image, self.groups)

    def weight_gradient(self, grad: Tensor, x: Tensor) -> Tensor:
        """Return the gradient of ``weight``.

        Args:
            grad: Gradient of what `convolve` returned.
            x: What it read.
        """
        if self.native:
            return native.weight_gradient(grad, x, self.side, self.stride, self.dilation, True)
        images = _image(grad, self.groups), _image(x, self.groups)
        return interleaving.weight_gradient(*images, self.weight, self.stride, self.dilation)


class Layer(NamedTuple):
    """A convolution to go back through.

    Attributes:
        grad: Gradient of its result.
        kernels: Its kernels.
    """

    grad: Tensor
    kernels: Kernels


def stack(weights: Sequence[Tensor], x: Tensor, stride: int = 1, dilation: int = 1) -> Kernels:
    """Join the kernels of groups.

    Args:
        weights: ``(C, 1, k, k)`` per group, k odd.
        x: A map like those to be convolved.
        stride: Step of the convolution.
        dilation: Distance between taps.
    """
    side, count = weights[0].shape[-1], len(weights)
    weight = weights[0] if count == 1 else torch.cat(list(weights))
    if native.has_kernel(x, side, stride, dilation):
        weight = weight.reshape(count, -1, side * side).mT.contiguous()
    return Kernels(weight, count, side, stride, dilation)


def unstack(gradient: Tensor, kernels: Kernels) -> tuple[Tensor, ...]:
    """Undo `stack` for a gradient."""
    if not kernels.native:
        return gradient.chunk(kernels.groups)
    groups, _, channels = gradient.shape
    # In the parameters' own layout, as autograd would copy them otherwise.
    return gradient.mT.contiguous().view(groups, channels, 1, kernels.side, kernels.side).unbind()


def as_map(image: Tensor) -> Tensor:
    """View an image ``(B, C, H, W)`` as a map of one group; contiguous if it is channels last."""
    return image.permute(0, 2, 3, 1).unsqueeze(0)


def readable(x: Tensor, kernels: Kernels, *, overwrite: bool = False) -> Tensor:
    """Return the rectified map as `Kernels.convolve` reads it; the native kernels rectify on their way.

    Args:
        x: ``(1 or groups, B, H, W, C)``.
        kernels: Who reads it.
        overwrite: Whether ``x`` may be rectified in place.
    """
    if kernels.native:
        return x
    x = x.relu_() if overwrite else F.relu(x)
    return x if x.shape[0] == kernels.groups else _map(_image(x, kernels.groups), kernels.groups)


def input_gradient(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Return the gradient of a map that all these layers read rectified.

    Args:
        layers: Of as many groups each.
        x: The map ``(1 or groups, B, H, W, C)``; where it is not above zero, the gradient is zero.
    """
    if layers[0].kernels.native:
        out = torch.empty(x.shape, dtype=x.dtype)
        for number, (grad, kernels) in enumerate(layers):
            gate = x if number == len(layers) - 1 else None
            steps = kernels.stride, kernels.dilation
            native.input_gradient(out, grad, kernels.weight, *steps, gate=gate, add=number > 0)
        return out
    total = None
    _, b, h, w, c = x.shape
    for grad, kernels in layers:
        shape = torch.Size((b, kernels.groups * c, h, w))
        image = _image(grad, kernels.groups)
        found = interleaving.input_gradient(image, shape, kernels.weight, kernels.stride, kernels.dilation)
        total = found if total is None else total.add_(found)
    assert total is not None, "there is at least one layer"
    grads = _map(total, layers[0].kernels.groups)
    if len(grads) > len(x):
        grads = grads.sum(0, keepdim=True)
    gated: Tensor = torch.ops.aten.threshold_backward(grads, x, 0)
    return gated


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.steps = stride, dilation
        ctx.shape = x.shape
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return _plain(x, weight, stride, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        kernels = stack([weight], grad, *ctx.steps)
        grad_x = grad_weight = None
        if not kernels.native:
            if ctx.needs_input_grad[0]:
                grad_x = interleaving.input_gradient(grad, ctx.shape, weight, *ctx.steps)
            if ctx.needs_input_grad[1]:
                stride, dilation = ctx.steps
                grad_weight = interleaving.weight_gradient(grad, x, weight, stride, dilation)
            return grad_x, grad_weight, None, None
        if ctx.needs_input_grad[0]:
            b, c, h, w = ctx.shape
            out = grad.new_empty(1, b, h, w, c)
            native.input_gradient(out, as_map(grad), kernels.weight, *ctx.steps)
            grad_x = out[0].permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            side, stride, dilation = kernels[2:]
            found = native.weight_gradient(as_map(grad), as_map(x), side, stride, dilation, False)
            (grad_weight,) = unstack(found, kernels)
        return grad_x, grad_weight, None, None


def _plain(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    kernels = stack([weight], x, stride, dilation)
    if not kernels.native:
        return interleaving.convolve(x, weight, stride, dilation)
    return native.convolve(as_map(x), kernels.weight, stride, dilation, False)[0].permute(0, 3, 1, 2)


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel with its own kernel, padded so that stride 1 keeps the side.

    Args:
        x: ``(B, C, H, W)``, channels last.
        weight: ``(C, 1, k, k)``, k odd.
        stride: Step of the convolution.
        dilation: Distance between taps.
    """
    return _Depthwise.apply(x.contiguous(memory_format=torch.channels_last), weight, stride, dilation)


def _image(x: Tensor, groups: int) -> Tensor:
    """Return a map as one image ``(B, groups C, H, W)``, channels last; a view, if torch made it."""
    _, b, h, w, c = x.shape
    rows = x.expand(groups, b, h, w, c).permute(1, 2, 3, 0, 4)
    return rows.reshape(b, h, w, groups * c).permute(0, 3, 1, 2)


def _map(image: Tensor, groups: int) -> Tensor:
    """Undo `_image`, without copying an image that is channels last."""
    b, c, h, w = image.shape
    return image.permute(0, 2, 3, 1).contiguous().view(b, h, w, groups, c // groups).permute(3, 0, 1, 2, 4)
