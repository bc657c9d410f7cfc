"""All bottlenecks of a block up to their last norm, as one differentiable function with kernels in C.

The options of a block widen the same map. The batch norm after a 1x1 convolution follows from mean and
covariance of the input of the convolution, which is a sixth to a quarter as wide and the same for all
options: so the norm is part of the convolution's weights. The widened and the filtered maps are kept for the
gradient; maps in between are computed again by kernels that go over the memory anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasforge_plugins.kernels.bottlenecks import Bottleneck
from nasforge_plugins.kernels.c import bottleneck_operators
from nasforge_plugins.ops.statistics import RunningStatistics

__all__ = ["has_kernels", "narrow_in_c"]


class _Weights(NamedTuple):
    """Parameters of a bottleneck in the order in which data meets them."""

    expand: Tensor
    expand_scale: Tensor
    expand_shift: Tensor
    kernel: Tensor
    scale: Tensor
    shift: Tensor
    reduce: Tensor
    reduce_bias: Tensor
    excite: Tensor
    excite_bias: Tensor
    project: Tensor


COUNT = len(_Weights._fields)


class _Kept(NamedTuple):
    """Maps and vectors that the gradient of one option needs."""

    widened: Tensor
    filtered: Tensor
    mean: Tensor
    variance: Tensor
    means: Tensor
    hidden: Tensor
    logits: Tensor


def has_kernels(blocks: Sequence[Bottleneck], x: Tensor) -> bool:
    """Return whether there are kernels for these blocks: their norms use the batch, in one precision."""
    norms = [norm for block in blocks for norm in (block.expand_norm, block.depthwise_norm)]
    return (
        all(norm.training and norm.affine for norm in norms)
        and not torch.is_autocast_enabled("cpu")
        and len({norm.eps for norm in norms}) == 1
        and all(
            bottleneck_operators.has_kernels(x, block.depthwise.kernel_size[0], block.depthwise.stride[0])
            for block in blocks
        )
    )


def narrow_in_c(blocks: Sequence[Bottleneck], x: Tensor) -> list[Tensor]:
    """Return the result of each bottleneck, and move the running statistics; see `bottlenecks.narrow`.

    Args:
        blocks: Of one choice; see `has_kernels`.
        x: ``(B, c_in, H, W)``.
    """
    eps, stride = blocks[0].expand_norm.eps, blocks[0].depthwise.stride[0]
    found = _Narrow.apply(eps, stride, x, *(weight for block in blocks for weight in _weights(block)))
    maps, statistics = found[: len(blocks)], RunningStatistics()
    batch, _, *sides = x.shape
    pixels = batch * sides[0] * sides[1], maps[0].shape[0] * maps[0].shape[2] * maps[0].shape[3]
    means = iter(found[len(blocks) :])
    for block in blocks:
        for norm, count in zip((block.expand_norm, block.depthwise_norm), pixels, strict=True):
            statistics.add([norm], next(means).unsqueeze(0), next(means).unsqueeze(0), count)
    statistics.write()
    return list(maps)


def _weights(block: Bottleneck) -> _Weights:
    squeeze = block.squeeze
    return _Weights(
        block.expand.weight,
        block.expand_norm.weight,
        block.expand_norm.bias,
        block.depthwise.weight,
        block.depthwise_norm.weight,
        block.depthwise_norm.bias,
        squeeze.reduce.weight,
        cast("Tensor", squeeze.reduce.bias),
        squeeze.expand.weight,
        cast("Tensor", squeeze.expand.bias),
        block.project.weight,
    )


class _Widening(NamedTuple):
    """The 1x1 convolutions of all options with their norms folded in: ``a = centred product^T + shift``.

    Attributes:
        weight: ``(I, c_in)``, I channels of all options together.
        centred: Their input, less its mean, ``(n, c_in)``.
        spread: Weight times the squares of ``centred``, ``(I, c_in)``.
        deviation: One over the standard deviation, ``(I,)``.
        gain: Scale over deviation, ``(I,)``.
    """

    weight: Tensor
    centred: Tensor
    spread: Tensor
    deviation: Tensor
    gain: Tensor

    @property
    def product(self) -> Tensor:
        return self.gain.unsqueeze(1) * self.weight


class _Narrow(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, eps: float, stride: int, x: Tensor, *tensors: Tensor) -> Any:
        options = list(_options(tensors))
        state = x.permute(0, 2, 3, 1).contiguous()
        rows = state.flatten(0, 2)
        centre = rows.mean(0)
        centred = rows - centre
        weight = torch.cat([option.expand.flatten(1) for option in options])
        spread = weight @ (centred.T @ centred)
        variance = (spread * weight).sum(1).div_(len(rows)).clamp_min_(0.0)
        deviation = (variance + eps).rsqrt_()
        gain = deviation * torch.cat([option.expand_scale for option in options])
        widening = _Widening(weight, centred, spread, deviation, gain)
        sizes = [len(option.expand) for option in options]
        products = widening.product.split(sizes)
        seen = zip((weight @ centre).split(sizes), variance.split(sizes), strict=True)
        maps: list[Tensor] = []
        kept: list[Tensor] = []
        statistics: list[Tensor] = []
        for option, product, moments in zip(options, products, seen, strict=True):
            widened = torch.addmm(option.expand_shift, centred, product.T).view(*state.shape[:3], -1)
            found, after = _filtered(option, widened, stride, eps)
            maps.append(found.permute(0, 3, 1, 2))
            kept += after
            statistics += [*moments, after.mean, after.variance]
        ctx.eps, ctx.stride, ctx.shape, ctx.sizes = eps, stride, state.shape, sizes
        ctx.save_for_backward(*tensors, *widening, *kept)
        ctx.mark_non_differentiable(*statistics)
        ctx.set_materialize_grads(False)
        return (*maps, *statistics)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        count = len(ctx.sizes)
        saved = ctx.saved_tensors
        options = list(_options(saved[: count * COUNT]))
        rest = saved[count * COUNT :]
        widening, fields = _Widening(*rest[: len(_Widening._fields)]), len(_Kept._fields)
        rest = rest[len(widening) :]
        kept = [_Kept(*rest[i * fields : (i + 1) * fields]) for i in range(count)]
        trains, n = any(ctx.needs_input_grad[3:]), len(widening.centred)
        product = widening.product
        parts = zip(product.split(ctx.sizes), options, kept, grads[:count], strict=True)
        to_x: Tensor | None = None
        totals, pairs, crosses, found = [], [], [], []
        for some, option, after, grad in parts:
            if grad is None:
                grad = torch.zeros_like(after.filtered[..., :1]).expand(-1, -1, -1, len(option.project))
                grad = grad.permute(0, 3, 1, 2)
            to_widened, sums, to_option = _unfiltered(option, after, grad, ctx.stride, ctx.eps, trains)
            rows = to_widened.flatten(0, 2)
            to_x = rows @ some if to_x is None else to_x.addmm_(rows, some)
            totals.append(sums[0])
            pairs.append(sums[1] - option.expand_shift * sums[0])
            found.append(to_option)
            if trains:
                crosses.append(rows.T @ widening.centred)
        assert to_x is not None, "there is at least one option"
        total, deviation = torch.cat(totals), widening.deviation
        # How far the batch's own statistics hold each channel back.
        pull = (torch.cat(pairs) * deviation.square()).div_(n).unsqueeze(1)
        to_x.addmm_(widening.centred, widening.weight.T @ (pull * widening.weight), alpha=-1)
        to_x.sub_(total @ product / n)
        to_x = to_x.view(ctx.shape).permute(0, 3, 1, 2)
        if not trains:
            return None, None, to_x, *[None] * (count * COUNT)
        cross = torch.cat(crosses)
        to_scale = (cross * widening.weight).sum(1).mul_(deviation).split(ctx.sizes)
        to_weight = cross.mul_(widening.gain.unsqueeze(1)).addcmul_(pull, widening.spread, value=-1)
        first = zip(to_weight.split(ctx.sizes), to_scale, totals, strict=True)
        every = [
            grad.view_as(weight)
            for option, start, after in zip(options, first, found, strict=True)
            for weight, grad in zip(option, (*start, *after), strict=True)
        ]
        return None, None, to_x, *every


def _options(tensors: Sequence[Tensor]) -> Iterator[_Weights]:
    return (_Weights(*tensors[at : at + COUNT]) for at in range(0, len(tensors), COUNT))


def _norm(weights: _Weights, mean: Tensor, variance: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return deviation, gain and bias of the norm behind the depthwise convolution."""
    deviation = (variance + eps).rsqrt_()
    gain = deviation * weights.scale
    return deviation, gain, weights.shift - gain * mean


def _filtered(weights: _Weights, widened: Tensor, stride: int, eps: float) -> tuple[Tensor, _Kept]:
    """Return the narrowed map ``(B, H, W, c_out)`` of one option, and its part of the gradient's inputs."""
    filtered, mean, variance = bottleneck_operators.filter_map(widened, weights.kernel, stride)
    _, gain, bias = _norm(weights, mean, variance, eps)
    means = bottleneck_operators.squeeze(filtered, gain, bias)
    hidden = torch.addmm(weights.reduce_bias, means, weights.reduce.flatten(1).T).relu_()
    logits = torch.addmm(weights.excite_bias, hidden, weights.excite.flatten(1).T)
    z = bottleneck_operators.excite(filtered, gain, bias, torch.nn.functional.hardsigmoid(logits))
    narrowed = z.flatten(0, 2) @ weights.project.flatten(1).T
    kept = _Kept(widened, filtered, mean, variance, means, hidden, logits)
    return narrowed.view(*filtered.shape[:3], -1), kept


def _unfiltered(
    weights: _Weights, kept: _Kept, grad: Tensor, stride: int, eps: float, trains: bool
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return the gradient of the widened map, its sums, and gradients of the weights from the kernel on."""
    filtered, project = kept.filtered, weights.project.flatten(1)
    images, *sides, _ = filtered.shape
    pixels = sides[0] * sides[1]
    n = images * pixels
    deviation, gain, bias = _norm(weights, kept.mean, kept.variance, eps)
    gate = torch.nn.functional.hardsigmoid(kept.logits)
    rows = grad.permute(0, 2, 3, 1).reshape(n, -1)
    to_project = None
    if trains:
        to_project = rows.T @ bottleneck_operators.excite(filtered, gain, bias, gate).flatten(0, 2)
    pushed = (rows @ project).view_as(filtered)
    to_gate = bottleneck_operators.unexcite(pushed, filtered, gain, bias)
    to_logits = torch.ops.aten.hardsigmoid_backward(to_gate, kept.logits)
    to_hidden = torch.ops.aten.threshold_backward(to_logits @ weights.excite.flatten(1), kept.hidden, 0)
    level = (to_hidden @ weights.reduce.flatten(1)).div_(pixels)
    sums = bottleneck_operators.unsqueeze(pushed, filtered, gain, bias, gate, level, kept.mean)
    total, pair = sums.unbind()
    slope = (gain * deviation.square()).mul_(pair).div_(-n)
    vectors = torch.stack([gain, kept.mean, slope, (gain * total).div_(-n)])
    to_widened, to_kernel, widened_sums = bottleneck_operators.unfilter(
        pushed, filtered, kept.widened, weights.kernel, vectors, stride, of_kernel=trains
    )
    if to_project is None:
        return to_widened, widened_sums, ()
    found = (
        to_kernel,
        pair * deviation,
        total,
        to_hidden.T @ kept.means,
        to_hidden.sum(0),
        to_logits.T @ kept.hidden,
        to_logits.sum(0),
        to_project,
    )
    return to_widened, widened_sums, found
