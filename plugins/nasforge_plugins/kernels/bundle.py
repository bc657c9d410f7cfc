"""The operator for the separable and dilated convolutions of some edges that leave one state.

Fallback: fused. Convolutions of equal shape run as one, with a group per edge. Only the inputs of the 1x1
convolutions are kept for the gradient: the maps in between are cheaper to compute again.

Shapes: see `bundle`. Gradients: of the state, scales, shifts and all weights, first derivatives only; mean
and variance have none. The kernels in C compute float32 and float64 on the CPU, kernel sides 3 and 5, strides
and dilations 1 and 2, and up to four paths of one stride. Both implementations sum squares in full precision,
so callers must not use them under autocast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasforge_plugins.kernels.depthwise import (
    DepthwiseLayer,
    KernelStack,
    as_map,
    input_gradient,
    readable,
    stack,
)
from nasforge_plugins.kernels.door import find_kernel
from nasforge_plugins.kernels.folding import Folded, Unfolded, fold, moments, unfold

__all__ = ["BundleForm", "BundlePath", "bundle"]

FIELDS = len(Folded._fields)


class BundlePath(NamedTuple):
    """One or two separable convolutions in a row.

    Attributes:
        stride: Step of the first.
        dilation: Distance between the taps of the first.
        twice: Whether there is a second one, which neither moves nor dilates.
    """

    stride: int
    dilation: int
    twice: bool


class BundleForm(NamedTuple):
    """Sizes and statistics of a bundle.

    Attributes:
        edges: G, the number of edges.
        paths: The paths of each edge, those with two convolutions first.
        eps: Added to each variance by the batch norms.
        running: Running mean and variance, ``(L G, C)`` each, or None to use the batch's.
    """

    edges: int
    paths: tuple[BundlePath, ...]
    eps: float
    running: tuple[Tensor, Tensor] | None


def bundle(
    form: BundleForm,
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    depthwise: Sequence[Tensor],
    pointwise: Sequence[Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return, per edge, the sum of its weighted paths.

    The L layers are the first convolutions of all paths, then the second ones.

    Args:
        form: Sizes and statistics.
        x: The state ``(B, C, H, W)``, channels last; paths rectify it.
        scale: Scale of each layer's norm times option weight, ``(L G, C)`` or ``(L G, 1)``.
        shift: Shift likewise, ``(L G, C)``.
        depthwise: Kernels ``(C, 1, k, k)``, G of each layer.
        pointwise: 1x1 weights ``(C, C, 1, 1)``, likewise.

    Returns:
        The sum ``(G, n, C)``; mean and biased variance that each norm has seen, ``(L G, C)``.
    """
    kernel = find_kernel("bundle", form, x, depthwise)
    run = _FusedBundle.apply if kernel is None else kernel
    return cast("tuple[Tensor, Tensor, Tensor]", run(form, x, scale, shift, *depthwise, *pointwise))


class _FusedBundle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, form: BundleForm, x: Tensor, scale: Any, shift: Any, *weights: Tensor) -> Any:
        count, half, channels = form.edges, len(weights) // 2, x.shape[1]
        first = len(form.paths) * count
        state = as_map(x)
        steps = [path[:2] for path in form.paths] + [(1, 1)] * sum(path.twice for path in form.paths)
        starts = range(0, half, count)
        kernels = [stack(weights[i : i + count], *s) for i, s in zip(starts, steps, strict=True)]
        weight = torch.cat(weights[half:]).view(-1, channels, channels)
        outer_kernels, last_kernels = kernels[: len(form.paths)], kernels[len(form.paths) :]

        def convolve_outer() -> Iterator[Tensor]:
            read = None
            for k in outer_kernels:
                read = readable(state, k) if read is None else read
                yield k.convolve(read)

        def convolve_last() -> Iterator[Tensor]:
            for i, k in enumerate(last_kernels):
                yield k.convolve(readable(_inner(outer, i, maps[i], count), k, overwrite=True))

        outer, maps = _fold(form, convolve_outer(), weight, scale, shift, slice(0, first))
        outs = []
        mean, variance = outer.mean, outer.variance
        last = None
        if last_kernels:
            last, last_maps = _fold(form, convolve_last(), weight, scale, shift, slice(first, None))
            outs += [(last, i, d) for i, d in enumerate(last_maps)]
            mean, variance = torch.cat([mean, last.mean]), torch.cat([variance, last.variance])
            maps += last_maps
        singles = maps[len(last_kernels) : len(form.paths)]
        outs += [(outer, i, d) for i, d in enumerate(singles, len(last_kernels))]
        ctx.form = form
        ctx.kernels = [(k.groups, k.stride, k.dilation) for k in kernels]
        ctx.factor_only = scale is not None and scale.shape[1] == 1
        stacked = [k.weight for k in kernels]
        ctx.save_for_backward(x, weight, *stacked, *maps, *outer, *(last or ()))
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return _closed(outs, count), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> Any:
        form, count, layers = ctx.form, ctx.form.edges, len(ctx.kernels)
        x, weight, *rest = ctx.saved_tensors
        kernels = [KernelStack(w, *k) for w, k in zip(rest[:layers], ctx.kernels, strict=True)]
        maps, norms = rest[layers : 2 * layers], rest[2 * layers :]
        outer = Folded(*norms[:FIELDS])
        paths = len(form.paths)
        first, twice = paths * count, layers - paths
        need_x, need_scale, need_shift, *need_weights = ctx.needs_input_grad[1:]
        trains = any(need_weights)
        kernel_grads: list[Tensor] = [weight] * layers
        grad = grad.contiguous()
        total, grads, totals = grad.sum(1), [], []
        unfolded: list[Unfolded] = []

        if twice:
            last, last_maps = Folded(*norms[FIELDS:]), maps[paths:]
            cross = _cross([grad] * twice, last_maps, count)
            un_last = unfold(last, weight[first:], cross, total.repeat(twice, 1), grad.shape[1])
            for k, d in enumerate(last_maps):
                kernel = kernels[paths + k]
                z = _inner(outer, k, maps[k], count)  # computing it again is cheaper than keeping it
                to_map = _to_map(grad, d, last, un_last, k, count)
                if trains:
                    read = readable(z, kernel, overwrite=True)
                    kernel_grads[paths + k] = kernel.weight_gradient(to_map, read)
                gate = input_gradient([DepthwiseLayer(to_map, kernel)], z).flatten(1, 3)
                grads.append(gate)
                totals.append(gate.sum(1))
            unfolded.append(un_last)

        grads += [grad] * (paths - twice)
        totals += [total] * (paths - twice)
        state, to_maps = as_map(x), []
        outer_total = torch.cat(totals)
        cross = _cross(grads, maps[:paths], count)
        un_outer = unfold(outer, weight[:first], cross, outer_total, grad.shape[1])
        unfolded.insert(0, un_outer)
        read = readable(state, kernels[0]) if trains else state
        for k in range(paths):
            to_map = _to_map(grads[k], maps[k], outer, un_outer, k, count)
            if trains:
                kernel_grads[k] = kernels[k].weight_gradient(to_map, read)
            to_maps.append(DepthwiseLayer(to_map, kernels[k]))
        to_x = input_gradient(to_maps, state)[0].permute(0, 3, 1, 2) if need_x else None

        to_scale = torch.cat([u.scale for u in unfolded]) if need_scale else None
        if to_scale is not None and ctx.factor_only:
            to_scale = to_scale.sum(1, keepdim=True)
        to_weights: list[Tensor | None] = [None] * len(need_weights)
        if trains:
            pointwise = torch.cat([u.weight for u in unfolded]).unsqueeze(3).unsqueeze(4)
            pairs = zip(kernel_grads, kernels, strict=True)
            to_weights = [*(g for pair in pairs for g in pair[0].chunk(count)), *pointwise.unbind()]
        to_shift = torch.cat([outer_total, *[total] * twice]) if need_shift else None
        return None, to_x, to_scale, to_shift, *to_weights


def _fold(
    form: BundleForm,
    made: Iterator[Tensor],
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    some: slice,
) -> tuple[Folded, list[Tensor]]:
    """Fold the norms of some layers; return the maps as well."""
    maps: list[Tensor] = []

    def rows() -> Iterator[Tensor]:
        for d in made:
            maps.append(d)
            yield d.flatten(1, 3)

    weight = weight[some]
    seen = running = None
    if form.running is None:
        # A map is summed up right when it is made, while it is in the cache.
        seen = moments(rows(), len(weight) // form.edges)
    else:
        running = form.running[0][some], form.running[1][some]
        deque(rows(), 0)
    n = maps[-1][0, ..., 0].numel()
    scale, shift = (None if t is None else t[some] for t in (scale, shift))
    return fold(weight, scale, shift, form.eps, n, seen=seen, running=running), maps


def _inner(folded: Folded, k: int, d: Tensor, count: int) -> Tensor:
    """Return the input of the second convolution of a path, before its ReLU."""
    some = slice(k * count, (k + 1) * count)
    z = torch.empty_like(d)
    torch.baddbmm(folded.bias[some], d.flatten(1, 3), folded.product[some].mT, out=z.flatten(1, 3))
    return z


def _closed(outs: Sequence[tuple[Folded, int, Tensor]], count: int) -> Tensor:
    """Return the sum of some layers."""
    out = None
    for folded, k, d in outs:
        some = slice(k * count, (k + 1) * count)
        rows, product = d.flatten(1, 3), folded.product[some].mT
        if out is None:
            # All biases at once: each would be a pass over the map.
            bias = sum(f.bias[i * count : (i + 1) * count] for f, i, _ in outs)
            out = torch.baddbmm(cast("Tensor", bias), rows, product)
        else:
            out.baddbmm_(rows, product)
    return cast("Tensor", out)


def _cross(grads: Sequence[Tensor], maps: Sequence[Tensor], count: int) -> Tensor:
    """Return ``grad^T d`` of all layers."""
    channels = grads[0].shape[2]
    out = grads[0].new_empty(len(maps) * count, channels, channels)
    for k, (grad, d) in enumerate(zip(grads, maps, strict=True)):
        torch.bmm(grad.mT, d.flatten(1, 3), out=out[k * count : (k + 1) * count])
    return out


def _to_map(grad: Tensor, d: Tensor, folded: Folded, un: Unfolded, k: int, count: int) -> Tensor:
    """Return the gradient of the input of the 1x1 convolutions of layer ``k``."""
    some = slice(k * count, (k + 1) * count)
    out = torch.empty_like(d)
    rows = out.flatten(1, 3)
    if un.back is None or un.level is None:
        torch.bmm(grad, folded.product[some], out=rows)
    else:
        torch.baddbmm(un.level[some], d.flatten(1, 3), un.back[some], alpha=-1, out=rows)
        rows.baddbmm_(grad, folded.product[some])
    return out
