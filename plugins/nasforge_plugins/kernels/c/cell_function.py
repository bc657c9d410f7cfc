"""A cell as one differentiable function, with kernels in C.

The gradient needs the nodes, rectified where that is enough, and the maps of the 3x3 convolutions. A 1x1
convolution and the norm after it are one matrix product, which is computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasforge_plugins.kernels.c.cell_gradient import CellGradient
from nasforge_plugins.kernels.c.cell_operators import Gathered, gather, rectify
from nasforge_plugins.kernels.c.cell_parts import (
    CellForm,
    Edges,
    Source,
    as_image,
    at,
    rows_of,
    share,
)
from nasforge_plugins.kernels.c.winograd_operators import convolve
from nasforge_plugins.kernels.folding import Folded, fold
from nasforge_plugins.kernels.sum_cell import NODES

__all__ = ["run_cell"]

MAPS, FOLDED = len(Source._fields) - 1, len(Folded._fields)


def run_cell(
    form: CellForm,
    x: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    plain: Tensor | None,
    weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output node of a cell.

    The L layers are the 3x3 convolutions, then the 1x1 ones.

    Args:
        form: Edges and statistics.
        x: The input node, ``(B, C, H, W)``.
        scale: Scale of each layer's norm times option weight, ``(L, C)`` or ``(L, 1)``; None is 1.
        shift: Shift likewise, ``(L, C)``; None is 0.
        plain: Option weights of skips, then pools; None is 1.
        weights: Of all layers.

    Returns:
        The node, ``(B, C, H, W)``; mean and biased variance that each norm has seen, ``(L, C)``.
    """
    return cast("tuple[Tensor, Tensor, Tensor]", _CellInC.apply(form, x, scale, shift, plain, *weights))


class _CellInC(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, form: CellForm, x: Tensor, scale: Any, shift: Any, plain: Any, *weights: Tensor
    ) -> Any:
        state = as_image(x)
        run = _CellRun(form, state, scale, shift, plain, weights)
        for number in range(NODES - 1):
            run.leave(number, state)
            state = run.make_node(number + 1)
        ctx.form, ctx.factor_only = form, scale is not None and scale.shape[1] == 1
        # Only the gradients of option weights of skips and pools need a node before its ReLU.
        ctx.is_rectified = not ctx.needs_input_grad[4]
        saved: list[Tensor | None] = []
        for source, rectified in zip(run.sources, run.rectified, strict=True):
            kept = rectified if ctx.is_rectified and rectified is not None else source.state
            saved += [kept, *cast("Sequence[Tensor | None]", source[1:MAPS])]
            saved += source.folded or (None,) * FOLDED
        ctx.save_for_backward(plain, *weights, *saved)
        ctx.mark_non_differentiable(run.mean, run.variance)
        ctx.set_materialize_grads(False)
        return state.permute(0, 3, 1, 2), run.mean, run.variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> Any:
        if grad is None:  # the cell behind this one passes nothing on
            return (None,) * len(ctx.needs_input_grad)
        need_x, need_scale, need_shift, need_plain, *need_weights = ctx.needs_input_grad[1:]
        plain, *saved = ctx.saved_tensors
        weights, saved = saved[: len(need_weights)], saved[len(need_weights) :]
        sources = []
        for i in range(0, len(saved), MAPS + FOLDED):
            kept, folded = Source(*saved[i : i + MAPS]), saved[i + MAPS : i + MAPS + FOLDED]
            sources.append(kept if folded[0] is None else kept._replace(folded=Folded(*folded)))
        back = CellGradient(ctx.form, sources, ctx.is_rectified, plain, weights, as_image(grad))
        to_x = None
        for number in reversed(range(NODES - 1)):
            to_x = back.enter(number, of_state=number > 0 or need_x, of_plain=need_plain, of=need_weights)
        to_scale = back.to_scale.sum(1, keepdim=True) if ctx.factor_only else back.to_scale
        return (
            None,
            None if to_x is None else to_x.permute(0, 3, 1, 2),
            to_scale if need_scale else None,
            back.to_shift if need_shift else None,
            torch.stack(back.to_plain) if need_plain else None,
            *back.to_weights,
        )


class _CellRun:
    """Makes one node after the other."""

    def __init__(
        self,
        form: CellForm,
        x: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        plain: Tensor | None,
        weights: Sequence[Tensor],
    ) -> None:
        self.form, self.scale, self.shift, self.plain = form, scale, shift, plain
        self.weights = list(weights)
        self.channels, self.pixels = x.shape[3], x[..., 0].numel()
        self.mean, self.variance = x.new_empty(2, len(weights), self.channels).unbind()
        if form.running is not None:
            self.mean.copy_(form.running[0])
            self.variance.copy_(form.running[1])
        self.sources: list[Source] = []
        self.rectified: list[Tensor | None] = []
        self.levels: dict[int, list[Tensor]] = {node: [] for node in range(NODES)}

    def leave(self, number: int, state: Tensor) -> None:
        """Run the convolutions of a source."""
        threes, ones = rows_of(self.form.threes, number), rows_of(self.form.ones, number)
        batch = self.form.running is None
        source, rectified, seen = Source(state), None, None
        if threes or ones:
            rectified, *seen = rectify(state, moments=batch and bool(ones))
        self.rectified.append(rectified)
        if rectified is not None and threes:
            source = self.convolve(source, rectified, slice(threes.start, threes.stop))
        if seen is not None and ones:
            source = self.multiply(source, seen, ones)
        self.sources.append(source)

    def convolve(self, source: Source, rectified: Tensor, layers: slice) -> Source:
        weight = torch.cat(self.weights[layers])
        maps, *seen = convolve(rectified, weight, moments=self.form.running is None)
        mean, variance = self.mean[layers], self.variance[layers]
        if self.form.running is None:
            for kept, found in zip((mean, variance), seen, strict=True):
                kept.copy_(found.view_as(kept))
        deviation = (variance + self.form.eps).rsqrt_()
        gain = deviation if self.scale is None else deviation * self.scale[layers]
        level = torch.mul(gain, mean).neg_()
        self.lift(self.form.threes[layers], level if self.shift is None else level + self.shift[layers])
        return source._replace(maps=maps, mean=mean, deviation=deviation, gain=gain)

    def multiply(self, source: Source, seen: Sequence[Tensor], ones: range) -> Source:
        form, first = self.form, len(self.form.threes)
        layers = slice(first + ones.start, first + ones.stop)
        weight = torch.cat(self.weights[layers]).view(len(ones), self.channels, -1)
        scale, shift = (None if t is None else t[layers] for t in (self.scale, self.shift))
        given: dict[str, Any] = {"running": (self.mean[layers], self.variance[layers])}
        if form.running is None:
            sums, squares = seen
            given = {"seen": (sums.repeat(len(ones), 1), squares.repeat(len(ones), 1, 1))}
        folded = fold(weight, scale, shift, form.eps, self.pixels, **given)
        if form.running is None:
            self.mean[layers], self.variance[layers] = folded.mean, folded.variance
        self.lift(form.ones[ones.start : ones.stop], folded.bias.squeeze(1))
        return source._replace(folded=folded)

    def lift(self, edges: Edges, levels: Tensor) -> None:
        for (_, node), level in zip(edges, levels.unbind(), strict=True):
            self.levels[node].append(level)

    def make_node(self, node: int) -> Tensor:
        """Return the sum of all that leads to a node."""
        form, sources, terms = self.form, self.sources, Gathered()
        threes = [(sources[s], at(form.threes, s, node)) for s, target in form.threes if target == node]
        if threes:
            maps = [source.get_map(k) for source, k in threes]
            gains = torch.stack([cast("Tensor", source.gain)[k] for source, k in threes])
            terms = terms._replace(maps=maps, gains=gains)
        ones = [s for s, target in form.ones if target == node]
        if ones:
            folds = [(cast("Folded", sources[s].folded), at(form.ones, s, node)) for s in ones]
            products = torch.stack([folded.product[k].mT for folded, k in folds])
            rows = [cast("Tensor", self.rectified[s]) for s in ones]
            terms = terms._replace(rows=rows, products=products)
        if self.levels[node]:
            terms = terms._replace(level=torch.stack(self.levels[node]).sum(0))
        skips, pools = ([s for s, t in edges if t == node] for edges in (form.skips, form.pools))
        like = sources[0].state
        return gather(
            like,
            terms._replace(
                skipped=[sources[s].state for s in skips],
                skip_factors=share(self.plain, [form.skips.index((s, node)) for s in skips], like),
                pooled=[sources[s].state for s in pools],
                pool_factors=share(
                    self.plain, [len(form.skips) + form.pools.index((s, node)) for s in pools], like
                ),
            ),
        )
