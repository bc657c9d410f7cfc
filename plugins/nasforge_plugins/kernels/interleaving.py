"""The rearrangement that undoes a dilation, and torch's own depthwise gradients at their cheapest.

oneDNN's depthwise kernels know neither dilation nor weight gradients of kernels wider than three columns;
its general ones cost ten times as much. Both cases are brought back to the fast kernels here.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["convolve", "deinterleave", "input_gradient", "interleave", "weight_gradient"]

SMALL = 8  # maps below this side have no fast weight gradient for kernels of five rows


def convolve(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel with its own kernel, padded so that stride 1 keeps the side.

    Args:
        x: ``(B, C, H, W)``, channels last.
        weight: ``(C, 1, k, k)``, k odd.
        stride: Step of the convolution.
        dilation: Distance between taps.
    """
    if _halves(stride, dilation):
        return convolve(_halved(x), weight)
    if _interleaves(x, stride, dilation):
        return deinterleave(convolve(interleave(x), weight))
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, None, stride, padding, dilation, weight.shape[0])


def input_gradient(
    grad: Tensor, shape: torch.Size, weight: Tensor, stride: int = 1, dilation: int = 1
) -> Tensor:
    """Return the gradient of the input, which had this shape."""
    # The input's values do not enter its own gradient: any memory of its shape will do.
    like = torch.empty(shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last)
    if _halves(stride, dilation):
        half = input_gradient(grad, _halved(like).shape, weight)
        like.zero_()[:, :, ::2, ::2] = half
        return like
    if _interleaves(like, stride, dilation):
        return deinterleave(input_gradient(interleave(grad), interleave(like).shape, weight))
    if stride == 1 and grad.device.type == "cpu":  # the forward kernels are the faster ones
        return convolve(grad, weight.flip(2, 3), 1, dilation)
    return _backward(grad, like, weight, stride, dilation, of_input=True)


def weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Return the gradient of the kernels; on a CPU, five taps wide ones from three taps wide ones."""
    if _halves(stride, dilation):
        return weight_gradient(grad, _halved(x), weight)
    if _interleaves(x, stride, dilation):
        return weight_gradient(interleave(grad), interleave(x), weight)
    rows, columns = weight.shape[2:]
    fast = grad.device.type == "cpu" and dilation == 1
    if fast and columns == 5:
        dim = 3
    elif fast and rows == 5 and x.shape[2] < SMALL:
        dim = 2
    else:
        return _backward(grad, x, weight, stride, dilation, of_input=False)
    three, last = weight.narrow(dim, 0, 3).contiguous(), x.shape[dim] - 1
    # Taps -2 to 0 are taps -1 to 1 of the image moved by one pixel, taps 0 to 2 those of the one moved back.
    low, high = (weight_gradient(grad, _moved(x, dim, by), three, stride) for by in (1, -1))
    if last % stride == 0:  # moving lost the last pixel, which tap 0 of the last output sees
        centre = weight.narrow(dim, 0, 1).contiguous()
        last_grad, last_x = (_dense(image.narrow(dim, image.shape[dim] - 1, 1)) for image in (grad, x))
        low.narrow(dim, 2, 1).add_(weight_gradient(last_grad, last_x, centre, stride))
    return torch.cat([low, high.narrow(dim, 1, 2)], dim)


def interleave(x: Tensor) -> Tensor:
    """Split a map into its four interleaved sub-images: dilation 2 on the map is dilation 1 on each of them.

    Args:
        x: ``(B, C, H, W)`` with even sides.

    Returns:
        ``(4 B, C, H / 2, W / 2)``, channels last; row parity, column parity and image in this order.
    """
    b, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(b, h // 2, 2, w // 2, 2, c)
    return rows.permute(2, 4, 0, 1, 3, 5).reshape(4 * b, h // 2, w // 2, c).permute(0, 3, 1, 2)


def deinterleave(x: Tensor) -> Tensor:
    """Undo `interleave`.

    Args:
        x: ``(4 B, C, H / 2, W / 2)``.

    Returns:
        ``(B, C, H, W)``, channels last.
    """
    b, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(2, 2, b // 4, h, w, c)
    return rows.permute(2, 3, 0, 4, 1, 5).reshape(b // 4, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


def _halves(stride: int, dilation: int) -> bool:
    """Whether the convolution sees every other pixel only, and moves from each of them to the next."""
    return dilation == 2 and stride == 2


def _halved(x: Tensor) -> Tensor:
    return _dense(x[:, :, ::2, ::2])


def _interleaves(x: Tensor, stride: int, dilation: int) -> bool:
    even = x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0
    return dilation == 2 and stride == 1 and even and x.device.type == "cpu"


def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int, *, of_input: bool
) -> Tensor:
    padding = [dilation * (side // 2) for side in weight.shape[2:]]
    steps = [stride] * 2, padding, [dilation] * 2, False, [0, 0], weight.shape[0]
    wanted = [of_input, not of_input, False]
    found = torch.ops.aten.convolution_backward(grad, x, weight, None, *steps, wanted)
    return cast("Tensor", found[0 if of_input else 1])


def _moved(x: Tensor, dim: int, by: int) -> Tensor:
    """Move an image by one pixel along a side; zeros come in."""
    moved, kept = torch.empty_like(x), x.shape[dim] - 1
    moved.narrow(dim, max(0, by), kept).copy_(x.narrow(dim, max(0, -by), kept))
    moved.narrow(dim, 0 if by > 0 else kept, 1).zero_()
    return moved


def _dense(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
