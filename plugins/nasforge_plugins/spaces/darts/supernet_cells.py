"""Supernet cells computed by source state: work that the edges leaving a state share is done once.

Where all edges of a supernet have the same operations, the convolutions of equal shape that read one state
run as one, with stacked channels; see `nasforge_plugins.kernels.folding` for how they end in a sum. Pools and
the identity of all edges are one matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasforge.nn import OptionWeights
from nasforge_plugins.kernels.bundle import BundleForm, BundlePath, bundle
from nasforge_plugins.ops.basics import concatenate
from nasforge_plugins.ops.convolutions import FactorizedReduce, SeparableConv
from nasforge_plugins.ops.statistics import RunningStatistics, uses_batch
from nasforge_plugins.spaces.darts.cell import DartsCell, Edge
from nasforge_plugins.spaces.darts.names import (
    CELLS,
    NODES,
    edge_name,
    inputs_name,
    sources,
)

__all__ = [
    "SOURCES",
    "TARGETS",
    "THIN",
    "TWICE",
    "MixedCells",
    "Scales",
    "can_mix",
    "norm_apart",
    "norm_together",
    "scales_by_source",
    "sum_parts",
]

SOURCES = sources(NODES - 1)
TARGETS = {source: tuple(n for n in range(NODES) if source in sources(n)) for source in SOURCES}
TWICE = ("sep_conv_3x3", "sep_conv_5x5")
THIN = ("dil_conv_3x3", "dil_conv_5x5")
Scales = dict[str, Tensor]


def can_mix(operations: Mapping[str, Sequence[str]]) -> bool:
    """Return whether the supernet of these edges can be computed by source state.

    Args:
        operations: By name of an edge's choice.
    """
    sets = set(map(tuple, operations.values()))
    names = sets.pop()
    return not sets and "noise" not in names and any(name in names for name in (*TWICE, *THIN))


class MixedCells:
    """Runs the cells of a supernet under one set of option weights.

    Args:
        operations: Of each edge, the same for all.
        weights: Vectors by choice name; a missing one counts as ones.
    """

    def __init__(self, operations: Sequence[str], weights: OptionWeights | None) -> None:
        self.scales = {kind: scales_by_source(kind, operations, weights or {}) for kind in CELLS}
        self.statistics = RunningStatistics()

    def __call__(self, cell: DartsCell, before: Tensor, previous: Tensor) -> Tensor:
        """Return ``cell(before, previous, weights)``, given inputs that are rectified already."""
        states = {
            "in0": cell.before.forward_rectified(before),
            "in1": cell.previous.forward_rectified(previous),
        }
        parts: list[list[Tensor]] = [[] for _ in range(NODES)]
        for source in SOURCES:
            if source not in states:
                node = int(source[-1])
                states[source] = sum_parts(parts[node])
            reduces = cell.plan.kind == "reduce" and source.startswith("in")
            scales = self.scales[cell.plan.kind]
            outgoing = _Outgoing(
                [cast("Edge", cast("Any", cell.nodes[node]).edges[source]) for node in TARGETS[source]],
                states[source],
                2 if reduces else 1,
                {} if scales is None else scales[source],
                self.statistics,
            )
            for target, part in zip(TARGETS[source], outgoing.run(), strict=True):
                parts[target].append(part)
        states[f"node{NODES - 1}"] = sum_parts(parts[-1])
        self.statistics.write()
        return concatenate([states[f"node{n}"] for n in range(NODES)])


class _Outgoing:
    """The edges that leave one state.

    Args:
        edges: The edges.
        state: The state, ``(B, C, H, W)``.
        stride: Side of the state divided by that of the nodes.
        scale: Factors of the edges by operation, ``(edges,)`` each; if empty, all are 1.
        statistics: Receives the statistics of the batch norms.
    """

    def __init__(
        self, edges: list[Edge], state: Tensor, stride: int, scale: Scales, statistics: RunningStatistics
    ) -> None:
        self.edges, self.stride, self.scale, self.statistics = edges, stride, scale, statistics
        state = state.contiguous(memory_format=torch.channels_last)
        b, c, *sides = state.shape
        self.shape = b, *(-(-side // stride) for side in sides), c
        self.state = state
        self.names = edges[0].choice.options
        self.plain = {}
        if "max_pool_3x3" in self.names:
            self.plain["max_pool_3x3"] = F.max_pool2d(state, 3, stride, 1)
        if "avg_pool_3x3" in self.names:
            self.plain["avg_pool_3x3"] = F.avg_pool2d(state, 3, stride, 1, count_include_pad=False)
        if "skip_connect" in self.names and stride == 1:
            self.plain["skip_connect"] = state

    def run(self) -> Sequence[Tensor]:
        """Return one map ``(B, C, H, W)`` per edge."""
        convs = self.get_convolutions()
        norms = [conv.norm for conv in convs]
        total, mean, variance = bundle(
            self.make_form(norms),
            self.state,
            *self.make_affine(norms),
            [conv.depthwise.weight for conv in convs],
            [conv.pointwise.weight for conv in convs],
        )
        if uses_batch(norms[0]):
            self.statistics.add(norms, mean, variance, total.shape[1])
        b, h, w, c = self.shape
        if self.stride == 2 and "skip_connect" in self.names:
            total.add_(self.run_strided_skips())
        self.add_pools(total)
        return [row.view(b, h, w, c).permute(0, 3, 1, 2) for row in total.unbind()]

    def present(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.names]

    def get_operations(self, name: str) -> list[nn.Module]:
        return [edge.options[name] for edge in self.edges]

    def get_convolutions(self) -> list[SeparableConv]:
        """Return the edges' convolutions in the order of `bundle`."""
        twice, thin = (
            [op for name in self.present(some) for op in self.get_operations(name)] for some in (TWICE, THIN)
        )
        first, second = ([cast("nn.Sequential", pair)[i] for pair in twice] for i in (0, 1))
        return cast("list[SeparableConv]", [*first, *thin, *second])

    def make_form(self, norms: Sequence[nn.BatchNorm2d]) -> BundleForm:
        running = None
        if not uses_batch(norms[0]):
            running = tuple(
                torch.stack([cast("Tensor", getattr(norm, name)) for norm in norms])
                for name in ("running_mean", "running_var")
            )
        pairs = [BundlePath(self.stride, 1, True)] * len(self.present(TWICE))
        thin = [BundlePath(self.stride, 2, False)] * len(self.present(THIN))
        return BundleForm(len(self.edges), (*pairs, *thin), norms[0].eps, cast("Any", running))

    def make_affine(self, norms: Sequence[nn.BatchNorm2d]) -> tuple[Tensor | None, Tensor | None]:
        """Return scale and shift of the norms, times the factors of their operations."""
        factor = None
        if self.scale:
            opening = [torch.ones_like(self.scale[name]) for name in self.present(TWICE)]
            closing = [self.scale[name] for name in self.present((*THIN, *TWICE))]
            factor = torch.cat([*opening, *closing]).to(self.state.dtype).unsqueeze(1)
        if not norms[0].affine:
            return factor, None
        scale, shift = (torch.stack([getattr(norm, name) for norm in norms]) for name in ("weight", "bias"))
        return (scale, shift) if factor is None else (scale * factor, shift * factor)

    def run_strided_skips(self) -> Tensor:
        """Return the weighted, strided ``skip_connect`` of every edge, ``(G, n, C)``."""
        maps, x = [], F.relu(self.state)
        for k, op in enumerate(self.get_operations("skip_connect")):
            reduce = cast("FactorizedReduce", op)
            y = reduce.forward_rectified(x).permute(0, 2, 3, 1).flatten(0, 2)
            maps.append(y * self.scale["skip_connect"][k] if self.scale else y)
        return torch.stack(maps)

    def add_pools(self, total: Tensor) -> None:
        """Add pools, and the identity where the side stays, to the maps of all edges."""
        count = len(self.edges)
        plain = dict(self.plain)
        for name in self.present(("max_pool_3x3", "avg_pool_3x3")):
            pools = self.get_operations(name)
            if isinstance(pools[0], nn.Sequential):
                norms = [cast("nn.BatchNorm2d", cast("nn.Sequential", pool)[1]) for pool in pools]
                if uses_batch(norms[0]):
                    plain[name] = norm_together(plain[name], norms, self.statistics)
                else:
                    total.add_(norm_apart(plain.pop(name), norms, self.scale.get(name)))
        if not plain:
            return
        images = torch.stack([image.permute(0, 2, 3, 1).flatten() for image in plain.values()])
        ones = images.new_ones(count)
        scale = torch.stack([self.scale.get(name, ones).to(images.dtype) for name in plain], 1)
        total.view(count, -1).addmm_(scale, images)


def sum_parts(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of maps."""
    total = parts[0]
    for part in parts[1:]:
        total = torch.add(total, part)
    return total


def norm_together(image: Tensor, norms: Sequence[nn.BatchNorm2d], statistics: RunningStatistics) -> Tensor:
    """Return the normalised map, which is the same for all norms while they train."""
    channels, count = image.shape[1], image.numel() // image.shape[1]
    like = image if norms[0].running_mean is None else norms[0].running_mean
    mean, variance = like.new_zeros(channels), like.new_ones(channels)
    image = F.batch_norm(image, mean, variance, None, None, True, 1.0, norms[0].eps)
    biased = variance * ((count - 1) / count)
    statistics.add(norms, mean.expand(len(norms), -1), biased.expand(len(norms), -1), count)
    return image


def norm_apart(image: Tensor, norms: Sequence[nn.BatchNorm2d], scale: Tensor | None) -> Tensor:
    """Return the weighted map of each norm under its own running statistics, ``(G, B H W, C)``."""
    mean = torch.stack([cast("Tensor", norm.running_mean) for norm in norms])
    variance = torch.stack([cast("Tensor", norm.running_var) for norm in norms])
    factor = (variance + norms[0].eps).rsqrt()
    if scale is not None:
        factor = factor * scale.to(image.dtype).unsqueeze(1)
    rows = image.permute(0, 2, 3, 1).flatten(0, 2)
    return (rows.unsqueeze(0) - mean.unsqueeze(1)) * factor.unsqueeze(1)


def scales_by_source(
    kind: str, operations: Sequence[str], weights: OptionWeights
) -> dict[str, Scales] | None:
    """Return, by source and operation, edge weight times option weight for each outgoing edge."""
    rows = [(node, source) for source in SOURCES for node in TARGETS[source]]
    given = [cast("Tensor | None", weights.get(edge_name(kind, *row))) for row in rows]
    sums = [cast("Tensor | None", weights.get(inputs_name(kind, node))) for node in range(NODES)]
    known = [w for w in (*given, *sums) if w is not None]
    if not known:
        return None
    ones, inputs = known[0].new_ones(len(operations)), known[0].new_ones(NODES + 1)
    table = torch.stack([ones if w is None else w for w in given])
    if any(w is not None for w in sums):
        # Picked one by one: an index would have to be brought to the device.
        edges = [(inputs[: n + 2] if w is None else w).unbind() for n, w in enumerate(sums)]
        order = [edges[node][sources(node).index(source)] for node, source in rows]
        table = table * torch.stack(order).unsqueeze(1)
    parts = table.split([len(TARGETS[source]) for source in SOURCES])
    return {
        source: dict(zip(operations, part.unbind(1), strict=True))
        for source, part in zip(SOURCES, parts, strict=True)
    }
