"""The separable and dilated convolutions of some edges that leave one state, as one differentiable function.

Convolutions of equal shape run as one with stacked channels. Pixels of the dilated ones may be interleaved
(`nasforge_plugins.ops.depthwise.interleave`): their 1x1 convolutions and norms do not mind the order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasforge_plugins.ops.depthwise import convolve, input_gradient, repeat_channels, weight_gradient
from nasforge_plugins.ops.normed import Folded, Unfolded, fold, moments, unfold

__all__ = ["BundleForm", "bundle"]


class BundleForm(NamedTuple):
    """What is fixed about a bundle.

    Attributes:
        edges: G, how many edges.
        stride: Step of the first separable convolutions.
        dilation: Of the dilated ones, on the map they get.
        apart: Whether that map is interleaved, so that their result is returned by itself.
        eps: What the batch norms add to a variance.
        running: Running mean and variance, ``(6 G, C)`` each, or None to use the batch's.
    """

    edges: int
    stride: int
    dilation: int
    apart: bool
    eps: float
    running: tuple[Tensor, Tensor] | None


def bundle(
    form: BundleForm,
    x: Tensor,
    thin: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    depthwise: Sequence[Tensor],
    pointwise: Sequence[Tensor],
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Return, per edge, the sum of its four weighted convolutions.

    Args:
        form: Sizes and statistics.
        x: The rectified state ``(B, C, H, W)``, channels last.
        thin: What the dilated convolutions see of it.
        scale: Scale of each layer's norm times option weight, ``(6 G, C)`` or ``(6 G, 1)``.
        shift: Shift likewise, ``(6 G, C)``.
        depthwise: Kernels ``(C, 1, k, k)``, G of each of six layers: first of ``sep_conv_3x3``, first of
            ``sep_conv_5x5``, ``dil_conv_3x3``, ``dil_conv_5x5``, second of either ``sep_conv``.
        pointwise: 1x1 weights, 6 G of ``(C, C, 1, 1)``.

    Returns:
        The sum ``(G, n, C)``, or, if ``form.apart``, that of the separable and that of the dilated ones; mean
        and biased variance that each norm has seen, ``(6 G, C)``.
    """
    return _Bundle.apply(form, x, thin, scale, shift, *depthwise, *pointwise)


class _Bundle(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, form: BundleForm, x: Tensor, thin: Tensor, scale: Any, shift: Any, *weights: Tensor
    ) -> Any:
        count, half, channels = form.edges, len(weights) // 2, x.shape[1]
        kernels = [_stack(weights[i : i + count]) for i in range(0, half, count)]
        weight = torch.cat(weights[half:]).view(-1, channels, channels)
        maps: list[Tensor] = []

        def convolve_outer() -> Iterator[Tensor]:
            wide = repeat_channels(x, count)
            yield convolve(wide, kernels[0], form.stride)
            yield convolve(wide, kernels[1], form.stride)
            wide = repeat_channels(thin, count)
            yield convolve(wide, kernels[2], 1, form.dilation)
            yield convolve(wide, kernels[3], 1, form.dilation)

        def convolve_last() -> Iterator[Tensor]:
            for k in range(2):
                yield convolve(_inner(outer, k, maps[k], count), kernels[4 + k])

        outer = _fold(form, convolve_outer(), maps, weight, scale, shift, slice(0, 4 * count))
        last = _fold(form, convolve_last(), maps, weight, scale, shift, slice(4 * count, 6 * count))
        separable = _closed(last, 0, maps[4:], count)
        dilated = _closed(outer, 2 * count, maps[2:4], count, None if form.apart else separable)
        mean = torch.cat([outer.mean, last.mean])
        variance = torch.cat([outer.variance, last.variance])
        trains = any(ctx.needs_input_grad[5:])
        ctx.form, ctx.shapes = form, (x.shape, thin.shape)
        ctx.factor_only = scale is not None and scale.shape[1] == 1
        ctx.save_for_backward(
            *((x, thin) if trains else (None, None)), *kernels, weight, *maps, *outer, *last
        )
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return separable, dilated if form.apart else None, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_dilated: Tensor | None, *_: Any) -> Any:
        form, count = ctx.form, ctx.form.edges
        x, thin, *rest = ctx.saved_tensors
        kernels, weight, maps = rest[:6], rest[6], rest[7:13]
        outer, last = Folded(*rest[13:21]), Folded(*rest[21:29])
        need_x, need_thin, need_scale, need_shift, *need_weights = ctx.needs_input_grad[1:]
        trains = any(need_weights)
        wide, wide_thin = (repeat_channels(m, count) if trains else None for m in (x, thin))
        kernel_grads: list[Tensor] = []
        grad = grad.contiguous()
        dilated = grad if grad_dilated is None else grad_dilated.contiguous()
        n, total = grad.shape[1], grad.sum(1)
        total_dilated = total if dilated is grad else dilated.sum(1)

        last_total = total.repeat(2, 1)
        un_last = unfold(last, weight[4 * count :], _cross([grad] * 2, maps[4:], count), last_total, n)
        gates = []
        for k in range(2):
            y = _inner(outer, k, maps[k], count)  # cheaper to make again than to keep
            to_map = _to_map(grad, maps[4 + k], last, un_last, k, count)
            if trains:
                kernel_grads.append(weight_gradient(to_map, y, kernels[4 + k]))
            to_y = input_gradient(to_map, y.shape, kernels[4 + k])
            gates.append(_rows(torch.ops.aten.threshold_backward(to_y, y, 0), count))

        grads = [*gates, dilated, dilated]
        outer_total = torch.cat([gates[0].sum(1), gates[1].sum(1), total_dilated, total_dilated])
        un_outer = unfold(outer, weight[: 4 * count], _cross(grads, maps[:4], count), outer_total, n)
        to_inputs: list[Tensor] = []
        for k in range(4):
            source, shape = (wide, ctx.shapes[0]) if k < 2 else (wide_thin, ctx.shapes[1])
            steps = (form.stride, 1) if k < 2 else (1, form.dilation)
            to_map = _to_map(grads[k], maps[k], outer, un_outer, k, count)
            if trains:
                kernel_grads.insert(k, weight_gradient(to_map, cast("Tensor", source), kernels[k], *steps))
            if need_x if k < 2 else need_thin:
                shape = torch.Size((shape[0], count * shape[1], *shape[2:]))
                to_inputs.append(input_gradient(to_map, shape, kernels[k], *steps))

        to_scale = torch.cat([un_outer.scale, un_last.scale]) if need_scale else None
        if to_scale is not None and ctx.factor_only:
            to_scale = to_scale.sum(1, keepdim=True)
        to_weights: list[Tensor | None] = [None] * len(need_weights)
        if trains:
            channels = weight.shape[1]
            pointwise = torch.cat([un_outer.weight, un_last.weight]).view(-1, channels, channels, 1, 1)
            to_weights = [g for k in kernel_grads for g in k.split(channels)] + list(pointwise.unbind())
        return (
            None,
            _together(to_inputs[:2], count) if need_x else None,
            _together(to_inputs[-2:], count) if need_thin else None,
            to_scale,
            torch.cat([outer_total, last_total]) if need_shift else None,
            *to_weights,
        )


def _fold(
    form: BundleForm,
    made: Iterator[Tensor],
    maps: list[Tensor],
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    some: slice,
) -> Folded:
    """Fold the norms of some layers; their maps are added to ``maps``."""

    def rows() -> Iterator[Tensor]:
        for d in made:
            maps.append(d)
            yield _rows(d, form.edges)

    seen = running = None
    if form.running is None:
        # A map is summed up right when it is made, while it is in the cache.
        seen = moments(rows(), (some.stop - some.start) // form.edges)
    else:
        running = form.running[0][some], form.running[1][some]
        deque(rows(), 0)
    n = maps[-1].numel() // maps[-1].shape[1]
    scale, shift = (None if t is None else t[some] for t in (scale, shift))
    return fold(weight[some], scale, shift, form.eps, n, seen=seen, running=running)


def _inner(folded: Folded, k: int, d: Tensor, count: int) -> Tensor:
    """Return what the second convolution of a separable pair sees."""
    some = slice(k * count, (k + 1) * count)
    y = torch.empty_like(d)
    torch.baddbmm(folded.bias[some], _rows(d, count), folded.product[some].mT, out=_rows(y, count))
    return y.relu_()


def _closed(folded: Folded, start: int, maps: Sequence[Tensor], count: int, out: Any = None) -> Tensor:
    """Return the sum of two layers, from ``start`` on, or add it to ``out``."""
    bias = folded.bias[start:].view(2, count, 1, -1).sum(0)
    products = folded.product[start:].mT.split(count)
    first, second = (_rows(d, count) for d in maps)
    if out is None:
        out = torch.baddbmm(bias, first, products[0])
    else:
        out.add_(bias).baddbmm_(first, products[0])
    return out.baddbmm_(second, products[1])


def _cross(grads: Sequence[Tensor], maps: Sequence[Tensor], count: int) -> Tensor:
    """Return ``grad^T d`` of all layers."""
    channels = grads[0].shape[2]
    out = grads[0].new_empty(len(maps) * count, channels, channels)
    for k, (grad, d) in enumerate(zip(grads, maps, strict=True)):
        torch.bmm(grad.mT, _rows(d, count), out=out[k * count : (k + 1) * count])
    return out


def _to_map(grad: Tensor, d: Tensor, folded: Folded, un: Unfolded, k: int, count: int) -> Tensor:
    """Return the gradient of what the 1x1 convolutions of layer ``k`` see, as an image."""
    some = slice(k * count, (k + 1) * count)
    image = torch.empty_like(d)
    rows = _rows(image, count)
    if un.back is None or un.level is None:
        torch.bmm(grad, folded.product[some], out=rows)
    else:
        torch.baddbmm(un.level[some], _rows(d, count), un.back[some], alpha=-1, out=rows)
        rows.baddbmm_(grad, folded.product[some])
    return image


def _together(grads: Sequence[Tensor], count: int) -> Tensor:
    """Add the gradients that two layers of all edges have for the map they share."""
    total = grads[0].add_(grads[1])
    b, c, h, w = total.shape
    if count == 1:
        return total
    return total.permute(0, 2, 3, 1).view(b, h, w, count, c // count).sum(3).permute(0, 3, 1, 2)


def _rows(image: Tensor, groups: int) -> Tensor:
    """View ``(B, G C, H, W)``, channels last, as ``(G, B H W, C)``."""
    return image.permute(0, 2, 3, 1).view(-1, groups, image.shape[1] // groups).permute(1, 0, 2)


def _stack(kernels: Sequence[Tensor]) -> Tensor:
    return kernels[0] if len(kernels) == 1 else torch.cat(list(kernels))
