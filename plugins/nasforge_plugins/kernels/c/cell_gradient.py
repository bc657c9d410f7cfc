"""The backward pass of a cell, from its output to its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from nasforge_plugins.kernels.c.cell_operators import Dots, Gathered, Uses, dots, gather, rectify, unnorm
from nasforge_plugins.kernels.c.cell_parts import CellForm, Source, rows_of, share
from nasforge_plugins.kernels.c.winograd_operators import convolve_backward
from nasforge_plugins.kernels.folding import Folded, Unfolded, unfold
from nasforge_plugins.kernels.sum_cell import NODES

__all__ = ["CellGradient"]


class CellGradient:
    """Collects the gradients of a cell. Nodes are entered from the last to the first.

    Args:
        form: Edges and statistics.
        sources: The nodes as the forward pass kept them, without the last.
        is_rectified: Whether of those that convolutions read it is the rectified node.
        plain: Option weights of skips, then pools; None is 1.
        weights: Of all convolutions.
        grad: Gradient of the last node, ``(B, H, W, C)``.

    Attributes:
        to_scale: Gradient of the scales, ``(L, C)``.
        to_shift: Of the shifts.
        to_plain: Of ``plain``, one by one.
        to_weights: Of the weights; None: not requested, or the node has no part in the output.
    """

    def __init__(
        self,
        form: CellForm,
        sources: Sequence[Source],
        is_rectified: bool,
        plain: Tensor | None,
        weights: Sequence[Tensor],
        grad: Tensor,
    ) -> None:
        self.form, self.sources, self.plain, self.weights = form, sources, plain, weights
        self.is_rectified = is_rectified
        self.grads = {NODES - 1: grad}
        self.pixels, self.channels = grad[..., 0].numel(), grad.shape[3]
        self.to_scale, self.to_shift = grad.new_zeros(2, len(weights), self.channels).unbind()
        self.to_plain = list(grad.new_zeros(len(form.skips) + len(form.pools)).unbind())
        self.to_weights: list[Tensor | None] = [None] * len(weights)

    def enter(self, number: int, *, of_state: bool, of_plain: bool, of: Sequence[bool]) -> Tensor | None:
        """Make the gradients of all that leaves a node.

        Args:
            number: The node.
            of_state: Whether its own gradient is wanted.
            of_plain: Whether those of the option weights of skips and pools are.
            of: Which weights have gradients.

        Returns:
            The gradient of the node; None if not requested, or if the node has no part in the output.
        """
        form, source, grads = self.form, self.sources[number], self.grads
        kinds = (form.threes, form.ones, form.skips, form.pools)
        targets = sorted({node for edges in kinds for s, node in edges if s == number and node in grads})
        if not targets:
            return None
        threes, ones = (
            [i for i in rows_of(edges, number) if edges[i][1] in grads] for edges in (form.threes, form.ones)
        )
        trains = any(of[i] for i in threes)
        rectified = None
        if ones or trains:
            rectified = source.state if self.is_rectified else rectify(source.state, moments=False)[0]
        place = {form.threes[i][1]: i - rows_of(form.threes, number).start for i in threes}
        uses = Uses(
            [grads[node] for node in targets],
            source.state,
            source.maps if threes else None,
            source.mean if threes else None,
            rectified if ones else None,
            [place[node] * self.channels if node in place else -1 for node in targets],
            [ones.index(form.ones.index((number, n))) if (number, n) in form.ones else -1 for n in targets],
        )
        skips, pools = (
            [i for i in rows_of(edges, number) if edges[i][1] in grads] for edges in (form.skips, form.pools)
        )
        found = dots(uses, skip=of_plain and bool(skips), pool=of_plain and bool(pools))
        for column, first, edges, rows in (
            (0, 0, form.skips, skips),
            (1, len(form.skips), form.pools, pools),
        ):
            for i in rows:
                self.to_plain[first + i] = found.plain[targets.index(edges[i][1]), column]
        terms = Gathered()
        if threes:
            totals = dict(zip(targets, found.totals.unbind(), strict=True))
            to_rectified = self.enter_convolutions(number, uses, found, totals, rectified, of_state, of)
            if to_rectified is not None:
                gains = to_rectified.new_ones(1, self.channels)
                terms = terms._replace(maps=[to_rectified], gains=gains)
        if ones:
            total = torch.stack([found.totals[targets.index(form.ones[i][1])] for i in ones])
            terms = self.enter_products(
                terms, number, ones, found.cross, total, of, cast("Tensor", rectified)
            )
        if not of_state:
            return None
        self.grads[number] = gather(
            source.state,
            terms._replace(
                gate=source.state if threes or ones else None,
                skipped=[grads[form.skips[i][1]] for i in skips],
                skip_factors=share(self.plain, skips, source.state),
                pooled=[grads[form.pools[i][1]] for i in pools],
                pool_factors=share(self.plain, [len(form.skips) + i for i in pools], source.state),
            ),
            turned=True,
        )
        return self.grads[number]

    def enter_convolutions(
        self,
        number: int,
        uses: Uses,
        found: Dots,
        totals: dict[int, Tensor],
        rectified: Tensor | None,
        of_state: bool,
        of: Sequence[bool],
    ) -> Tensor | None:
        """Go back through norms and 3x3 convolutions; return the gradient of the rectified node."""
        form, source = self.form, self.sources[number]
        layers = rows_of(form.threes, number)
        some = slice(layers.start, layers.stop)
        deviation, gain = cast("Tensor", source.deviation), cast("Tensor", source.gain)
        nothing = gain.new_zeros(self.channels)
        total = torch.stack([totals.get(node, nothing) for _, node in form.threes[some]])
        to_scale = found.along.view_as(gain) * deviation
        self.to_scale[some], self.to_shift[some] = to_scale, total
        trains = rectified is not None and any(of[some])
        if not (of_state or trains):
            return None
        pull = (to_scale * deviation).div_(self.pixels)
        coefficients = torch.stack([gain, total / self.pixels, pull])
        to_maps = unnorm(uses, coefficients, batch=form.running is None)
        weight = torch.cat(list(self.weights[some]))
        read = source.state if rectified is None else rectified
        to_rectified, to_weight = convolve_backward(to_maps, read, weight, of_x=of_state, of_weight=trains)
        if trains:
            for i, part in zip(layers, to_weight.split(self.channels), strict=True):
                self.to_weights[i] = part if of[i] and form.threes[i][1] in self.grads else None
        return to_rectified if of_state else None

    def enter_products(
        self,
        terms: Gathered,
        number: int,
        ones: Sequence[int],
        cross: Tensor,
        total: Tensor,
        of: Sequence[bool],
        rectified: Tensor,
    ) -> Gathered:
        """Go back through 1x1 convolutions; return the terms with theirs."""
        form, first = self.form, len(self.form.threes)
        folded, layers = cast("Folded", self.sources[number].folded), rows_of(form.ones, number)
        if len(ones) < len(layers):
            chosen = torch.tensor([i - layers.start for i in ones])
            folded = Folded(*(None if t is None else t[chosen] for t in folded))  # type: ignore[arg-type]
        weight = torch.cat([self.weights[first + i] for i in ones]).view_as(folded.product)
        un = unfold(folded, weight, cross, total, self.pixels)
        rows = [first + i for i in ones]
        self.to_scale[rows], self.to_shift[rows] = un.scale, total
        for row, part in zip(rows, un.weight.unbind(), strict=True):
            self.to_weights[row] = part.view_as(self.weights[row]) if of[row] else None
        read = [self.grads[form.ones[i][1]] for i in ones]
        if un.back is None or un.level is None:
            return terms._replace(rows=read, products=folded.product)
        back, level = _together(un)
        products = torch.cat([folded.product, back])
        return terms._replace(rows=[*read, rectified], products=products, level=level)


def _together(un: Unfolded) -> tuple[Tensor, Tensor]:
    """Return the share of the gradient of a node that passes through the statistics of its convolutions."""
    back, level = cast("Tensor", un.back), cast("Tensor", un.level)
    return back.sum(0, keepdim=True).neg_(), level.sum((0, 1))
