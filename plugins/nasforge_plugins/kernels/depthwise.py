"""Depthwise convolutions of several groups at once, in torch.

A map is ``(groups, B, H, W, C)``. Torch convolves all groups as one image of more channels, so a map has the
memory of ``(B, H, W, groups, C)``; work on pixels, ``map.flatten(1, 3)``, does not depend on it. All groups
may read one map of a single group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasforge_plugins.kernels import interleaving

__all__ = ["DepthwiseLayer", "KernelStack", "as_map", "depthwise", "input_gradient", "readable", "stack"]


class KernelStack(NamedTuple):
    """Depthwise kernels of several groups, with their stride and dilation.

    Attributes:
        weight: ``(groups C, 1, k, k)``.
        groups: Number of groups.
        stride: Step of the convolution.
        dilation: Distance between taps.
    """

    weight: Tensor
    groups: int
    stride: int
    dilation: int

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve a map from `readable`; the result is a map of all groups."""
        image = interleaving.convolve(_image(x, self.groups), self.weight, self.stride, self.dilation)
        return _map(image, self.groups)

    def weight_gradient(self, grad: Tensor, x: Tensor) -> Tensor:
        """Return the gradient of ``weight``.

        Args:
            grad: Gradient of the result of `convolve`.
            x: Input of `convolve`.
        """
        images = _image(grad, self.groups), _image(x, self.groups)
        return interleaving.weight_gradient(*images, self.weight, self.stride, self.dilation)


class DepthwiseLayer(NamedTuple):
    """A convolution to go back through.

    Attributes:
        grad: Gradient of its result.
        kernels: Its kernels.
    """

    grad: Tensor
    kernels: KernelStack


def stack(weights: Sequence[Tensor], stride: int = 1, dilation: int = 1) -> KernelStack:
    """Join the kernels of groups.

    Args:
        weights: ``(C, 1, k, k)`` per group, k odd.
        stride: Step of the convolution.
        dilation: Distance between taps.
    """
    weight = weights[0] if len(weights) == 1 else torch.cat(list(weights))
    return KernelStack(weight, len(weights), stride, dilation)


def as_map(image: Tensor) -> Tensor:
    """View an image ``(B, C, H, W)`` as a map of one group; contiguous if it is channels last."""
    return image.permute(0, 2, 3, 1).unsqueeze(0)


def readable(x: Tensor, kernels: KernelStack, *, overwrite: bool = False) -> Tensor:
    """Return the rectified map as `KernelStack.convolve` reads it.

    Args:
        x: ``(1 or groups, B, H, W, C)``.
        kernels: The kernels that read it.
        overwrite: Whether ``x`` may be rectified in place.
    """
    x = x.relu_() if overwrite else F.relu(x)
    return x if x.shape[0] == kernels.groups else _map(_image(x, kernels.groups), kernels.groups)


def input_gradient(layers: Sequence[DepthwiseLayer], x: Tensor) -> Tensor:
    """Return the gradient of a map that all these layers read rectified.

    Args:
        layers: Of as many groups each.
        x: The map ``(1 or groups, B, H, W, C)``; where it is not above zero, the gradient is zero.
    """
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
        return interleaving.convolve(x, weight, stride, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        need_x, need_weight, *_ = ctx.needs_input_grad
        grad_x = interleaving.input_gradient(grad, ctx.shape, weight, *ctx.steps) if need_x else None
        grad_weight = interleaving.weight_gradient(grad, x, weight, *ctx.steps) if need_weight else None
        return grad_x, grad_weight, None, None


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
