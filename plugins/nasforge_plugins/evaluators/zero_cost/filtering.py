"""Faster 3x3 convolutions for networks that are computed module by module, with first derivatives only."""

from __future__ import annotations

from typing import Any

from torch import Tensor, autograd
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from nasforge_plugins.kernels.convolution import convolve, convolve_backward, has_kernels

__all__ = ["Filtered"]


class Filtered(TorchFunctionMode):
    """Computes 3x3 convolutions of stride 1 by minimal filtering, where there are kernels for that.

    See `nasforge_plugins.kernels.convolution.convolve`. Results of such a block can be
    differentiated once, not twice.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, or the kernels that compute the same."""
        if func is F.conv2d and not kwargs and _fits(*args):
            image = _Convolution.apply(args[0].permute(0, 2, 3, 1), args[1])
            return image.permute(0, 3, 1, 2)
        return func(*args, **(kwargs or {}))


def _fits(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    plain = weight.shape[2:] == (3, 3) and groups == 1 and bias is None and x.dtype == weight.dtype
    ones = all(given in (1, (1, 1)) for given in (stride, padding, dilation))
    return plain and ones and x.dim() == 4 and has_kernels(x)


class _Convolution(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve(x, weight, moments=False)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        of_x, of_weight = ctx.needs_input_grad
        to_x, to_weight = convolve_backward(grad, *ctx.saved_tensors, of_x=of_x, of_weight=of_weight)
        return (to_x if of_x else None), (to_weight if of_weight else None)
