"""The operator `bundle` in C, as a differentiable function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasforge_plugins.kernels.bundle import BundleForm
from nasforge_plugins.kernels.c import bundle_operators
from nasforge_plugins.kernels.c.bundle_operators import BundleSizes

__all__ = ["bundle_in_c", "has_kernels"]


def has_kernels(form: BundleForm, x: Tensor, depthwise: Sequence[Tensor]) -> bool:
    """Return whether there are kernels for a bundle of a state like ``x``."""
    sizes = _sizes(form, depthwise)
    return sizes is not None and bundle_operators.has_kernels(x, sizes)


def bundle_in_c(
    form: BundleForm, x: Tensor, scale: Tensor | None, shift: Tensor | None, *weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute a bundle; see `nasforge_plugins.kernels.bundle.bundle`.

    Args:
        form: Sizes and statistics.
        x: The state ``(B, C, H, W)``.
        scale: As in `bundle`.
        shift: As in `bundle`.
        weights: Depthwise kernels, then as many 1x1 weights.
    """
    found = _BundleInC.apply(form, x, scale, shift, *weights)
    return cast("tuple[Tensor, Tensor, Tensor]", found)


def _sizes(form: BundleForm, depthwise: Sequence[Tensor]) -> BundleSizes | None:
    """Return the sizes that the kernels take; None if they cannot compute this form."""
    sides = [weight.shape[-1] for weight in depthwise[:: form.edges]]
    strides, twice = {path.stride for path in form.paths}, sum(path.twice for path in form.paths)
    paths = len(form.paths)
    if len(strides) > 1 or sides[paths:] != sides[:twice]:
        return None
    dilations = tuple(path.dilation for path in form.paths)
    return BundleSizes(
        form.edges, strides.pop(), twice, tuple(sides[:paths]), dilations, form.running is None
    )


class _BundleInC(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, form: BundleForm, x: Tensor, scale: Any, shift: Any, *weights: Tensor) -> Any:
        half, channels = len(weights) // 2, x.shape[1]
        shape = _sizes(form, weights[:half])
        assert shape is not None, "callers check has_kernels()"
        state = x.permute(0, 2, 3, 1).contiguous()
        kernels = torch.cat([weight.reshape(-1) for weight in weights[:half]])
        weight = torch.cat(weights[half:]).view(-1, channels, channels)
        done = bundle_operators.forward(state, kernels, weight, scale, shift, form.running, shape, form.eps)
        ctx.shape, ctx.sides = shape, [weight.shape for weight in weights[:half]]
        ctx.factor_only = scale is not None and scale.shape[1] == 1
        ctx.save_for_backward(state, kernels, weight, *done[1:])
        ctx.mark_non_differentiable(done.mean, done.variance)
        ctx.set_materialize_grads(False)
        return done.out, done.mean, done.variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> Any:
        state, kernels, weight, *done = ctx.saved_tensors
        need_x, need_scale, need_shift, *need_weights = ctx.needs_input_grad[1:]
        trains = any(need_weights)
        to_x, to_kernels, to_weight, to_scale, to_shift = bundle_operators.backward(
            grad.contiguous(),
            state,
            kernels,
            weight,
            done,
            ctx.shape,
            of_x=need_x,
            of_weights=trains,
        )
        to_weights: list[Tensor | None] = [None] * len(need_weights)
        if trains:
            parts = to_kernels.split([side.numel() for side in ctx.sides])
            views = (part.view(side) for part, side in zip(parts, ctx.sides, strict=True))
            to_weights = [*views, *to_weight.unsqueeze(3).unsqueeze(4).unbind()]
        if ctx.factor_only:
            to_scale = to_scale.sum(1, keepdim=True)
        return (
            None,
            to_x.permute(0, 3, 1, 2) if need_x else None,
            to_scale if need_scale else None,
            to_shift if need_shift else None,
            *to_weights,
        )
