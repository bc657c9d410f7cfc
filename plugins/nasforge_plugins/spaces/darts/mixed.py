"""Supernet cells computed by source state: what the edges leaving a state have in common is done once.

Every edge of a supernet has all eight operations, so the convolutions of equal shape that read one state run
as one, with stacked channels; see `nasforge_plugins.ops.normed` for how they end in a sum. Pools and the
identity of all edges are one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasforge.nn import OptionWeights
from nasforge_plugins.ops.convolutions import FactorizedReduce, SeparableConv
from nasforge_plugins.ops.depthwise import (
    can_interleave,
    deinterleave,
    depthwise,
    interleave,
    repeat_channels,
)
from nasforge_plugins.ops.normed import Statistics, Term, normed_sum
from nasforge_plugins.ops.simple import concatenate
from nasforge_plugins.spaces.darts.cell import Cell, Edge
from nasforge_plugins.spaces.darts.genotype import NODES
from nasforge_plugins.spaces.darts.space import CELLS, OPERATIONS, edge_name, inputs_name, sources

__all__ = ["MixedCells"]

SOURCES = sources(NODES - 1)
TARGETS = {source: tuple(n for n in range(NODES) if source in sources(n)) for source in SOURCES}
Scales = dict[str, Tensor]

CACHE = 2**23  # edges run together as long as one of their maps fits a CPU core's cache with room to spare


class MixedCells:
    """Runs the cells of a supernet under one set of option weights.

    Args:
        weights: Vectors by choice name; a missing one counts as ones.
    """

    def __init__(self, weights: OptionWeights | None) -> None:
        self.scales = {kind: _by_source(kind, weights or {}) for kind in CELLS}
        self.statistics = Statistics()

    def __call__(self, cell: Cell, before: Tensor, previous: Tensor) -> Tensor:
        """Return what ``cell(before, previous, weights)`` returns."""
        states = {"in0": cell.before(before), "in1": cell.previous(previous)}
        parts: list[list[Tensor]] = [[] for _ in range(NODES)]
        for source in SOURCES:
            if source not in states:
                node = int(source[-1])
                states[source] = _sum(parts[node])
            reduces = cell.plan.kind == "reduce" and source.startswith("in")
            outgoing = _Outgoing(states[source], 2 if reduces else 1, self.statistics)
            scales = self.scales[cell.plan.kind]
            targets = TARGETS[source]
            for start in range(0, len(targets), outgoing.together):
                some = slice(start, start + outgoing.together)
                edges = [cast("Edge", cast("Any", cell.nodes[n]).edges[source]) for n in targets[some]]
                scale = {} if scales is None else {o: v[some] for o, v in scales[source].items()}
                for target, part in zip(targets[some], outgoing.run(edges, scale), strict=True):
                    parts[target].append(part)
        states[f"node{NODES - 1}"] = _sum(parts[-1])
        self.statistics.write()
        return concatenate([states[f"node{n}"] for n in range(NODES)])


class _Outgoing:
    """The edges that leave one state.

    Args:
        state: The state, ``(B, C, H, W)``.
        stride: Side of the state divided by that of the nodes.
        statistics: Receives what the batch norms have seen.
    """

    def __init__(self, state: Tensor, stride: int, statistics: Statistics) -> None:
        self.stride, self.statistics = stride, statistics
        state = state.contiguous(memory_format=torch.channels_last)
        b, c, *sides = state.shape
        self.shape = b, *(-(-side // stride) for side in sides), c
        size = state.numel() * state.element_size()
        self.together = max(1, CACHE // size) if state.device.type == "cpu" else len(SOURCES)
        self.x = F.relu(state)
        self.interleaved = stride == 1 and can_interleave(state)
        if stride == 2:  # a kernel of dilation 2 that moves by 2 sees every other pixel only
            self.thin = self.x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
        else:
            self.thin = interleave(self.x) if self.interleaved else self.x
        self.plain = {
            "max_pool_3x3": F.max_pool2d(state, 3, stride, 1),
            "avg_pool_3x3": F.avg_pool2d(state, 3, stride, 1, count_include_pad=False),
        }
        if stride == 1:
            self.plain["skip_connect"] = state

    def run(self, edges: list[Edge], scale: Scales) -> Sequence[Tensor]:
        """Return one map ``(B, C, H, W)`` per edge.

        Args:
            edges: Some of the edges that leave the state.
            scale: Their factors by operation, ``(edges,)`` each; a missing one is 1.
        """
        self.edges, self.scale = edges, scale
        wide = repeat_channels(self.x, len(edges))
        close = [self.separable_twice(f"sep_conv_{k}x{k}", wide) for k in (3, 5)]
        dilated = self.dilated()
        if self.stride == 2:
            close.append(self.factorized())
        if not self.interleaved:
            close += dilated
        total = normed_sum(close, self.statistics)
        b, h, w, c = self.shape
        if self.interleaved:
            image = deinterleave(normed_sum(dilated, self.statistics), h, w)
            total.view(image.shape).add_(image)
        self.add_pools(total)
        return [row.view(b, h, w, c).permute(0, 3, 1, 2) for row in total.unbind()]

    def operations(self, name: str) -> list[nn.Module]:
        return [edge.options[name] for edge in self.edges]

    def term(self, x: Tensor, convs: Sequence[SeparableConv], name: str | None = None) -> Term:
        weight = torch.stack([conv.pointwise.weight.flatten(1) for conv in convs])
        return Term(x, weight, [conv.norm for conv in convs], self.scale.get(name or ""))

    def separable_twice(self, name: str, x: Tensor) -> Term:
        """Return the last 1x1 convolution and norm of the edges' ``sep_conv``."""
        pairs = [cast("nn.Sequential", op) for op in self.operations(name)]
        first, second = ([cast("SeparableConv", pair[i]) for pair in pairs] for i in (0, 1))
        y = depthwise(x, _stack(first), self.stride)
        y = normed_sum([self.term(y, first)], self.statistics, relu=True)
        return self.term(depthwise(y, _stack(second)), second, name)

    def dilated(self) -> list[Term]:
        """Return the 1x1 convolution and norm of the edges' two ``dil_conv``."""
        dilation = 1 if self.stride == 2 or self.interleaved else 2
        x = repeat_channels(self.thin, len(self.edges))
        terms = []
        for name in ("dil_conv_3x3", "dil_conv_5x5"):
            convs = [cast("SeparableConv", op) for op in self.operations(name)]
            terms.append(self.term(depthwise(x, _stack(convs), 1, dilation), convs, name))
        return terms

    def factorized(self) -> Term:
        """Return the strided ``skip_connect``: a 1x1 convolution on pixels and their diagonal neighbours."""
        reduces = [cast("FactorizedReduce", op) for op in self.operations("skip_connect")]
        x = self.x
        channels, height, width = x.shape[1:]
        shifted = F.pad(x, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else x
        both = torch.cat([x[:, :, ::2, ::2], shifted[:, :, 1::2, 1::2]], 1)
        both = both.contiguous(memory_format=torch.channels_last)
        even = torch.stack([op.even.weight.flatten(1) for op in reduces])
        odd = torch.stack([op.odd.weight.flatten(1) for op in reduces])
        weight = torch.cat([F.pad(even, (0, channels)), F.pad(odd, (channels, 0))], 1)
        return Term(
            repeat_channels(both, len(self.edges)),
            weight,
            [op.norm for op in reduces],
            self.scale.get("skip_connect"),
        )

    def add_pools(self, total: Tensor) -> None:
        """Add pools, and the identity where the side stays, to the maps of all edges."""
        count = len(self.edges)
        plain = dict(self.plain)
        for name in ("max_pool_3x3", "avg_pool_3x3"):
            pools = self.operations(name)
            if isinstance(pools[0], nn.Sequential):
                norms = [cast("nn.BatchNorm2d", cast("nn.Sequential", pool)[1]) for pool in pools]
                if norms[0].training:
                    plain[name] = _normed_together(plain[name], norms, self.statistics)
                else:
                    total.add_(_normed_apart(plain.pop(name), norms, self.scale.get(name)))
        if not plain:
            return
        images = torch.stack([image.permute(0, 2, 3, 1).flatten() for image in plain.values()])
        ones = images.new_ones(count)
        scale = torch.stack([self.scale.get(name, ones).to(images.dtype) for name in plain], 1)
        total.view(count, -1).addmm_(scale, images)


def _stack(convs: Sequence[SeparableConv]) -> Tensor:
    return torch.cat([conv.depthwise.weight for conv in convs])


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = torch.add(total, part)
    return total


def _normed_together(image: Tensor, norms: Sequence[nn.BatchNorm2d], statistics: Statistics) -> Tensor:
    """Return the normalised map, which is the same for all norms while they train."""
    channels, count = image.shape[1], image.numel() // image.shape[1]
    mean, variance = image.new_zeros(channels), image.new_ones(channels)
    image = F.batch_norm(image, mean, variance, None, None, True, 1.0, norms[0].eps)
    biased = variance * ((count - 1) / count)
    statistics.add(norms, mean.expand(len(norms), -1), biased.expand(len(norms), -1), count)
    return image


def _normed_apart(image: Tensor, norms: Sequence[nn.BatchNorm2d], scale: Tensor | None) -> Tensor:
    """Return the weighted map of each norm under its own running statistics, ``(G, B H W, C)``."""
    mean = torch.stack([cast("Tensor", norm.running_mean) for norm in norms])
    variance = torch.stack([cast("Tensor", norm.running_var) for norm in norms])
    factor = (variance + norms[0].eps).rsqrt()
    if scale is not None:
        factor = factor * scale.to(image.dtype).unsqueeze(1)
    rows = image.permute(0, 2, 3, 1).flatten(0, 2)
    return (rows.unsqueeze(0) - mean.unsqueeze(1)) * factor.unsqueeze(1)


def _by_source(kind: str, weights: OptionWeights) -> dict[str, Scales] | None:
    """Return, by source and operation, edge weight times option weight for each outgoing edge."""
    rows = [(node, source) for source in SOURCES for node in TARGETS[source]]
    given = [cast("Tensor | None", weights.get(edge_name(kind, *row))) for row in rows]
    sums = [cast("Tensor | None", weights.get(inputs_name(kind, node))) for node in range(NODES)]
    known = [w for w in (*given, *sums) if w is not None]
    if not known:
        return None
    ones = known[0].new_ones(len(OPERATIONS))
    table = torch.stack([ones if w is None else w for w in given])
    if any(w is not None for w in sums):
        edges = torch.cat([ones[: n + 2] if w is None else w for n, w in enumerate(sums)])
        starts = [sum(m + 2 for m in range(node)) for node in range(NODES)]
        order = [starts[node] + sources(node).index(source) for node, source in rows]
        table = table * edges[torch.tensor(order, device=edges.device)].unsqueeze(1)
    parts = table.split([len(TARGETS[source]) for source in SOURCES])
    return {
        source: dict(zip(OPERATIONS, part.unbind(1), strict=True))
        for source, part in zip(SOURCES, parts, strict=True)
    }
