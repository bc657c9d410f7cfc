"""Supernet cells with few operators, for devices that pay for each: a GPU.

Convolutions of all edges that leave a state run as one with stacked channels, 3x3 kernels within 5x5 ones of
zeros, and end in torch's own batch norms, which compute in full precision under autocast. Weights and running
statistics are gathered once per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasforge.nn import EdgeSum, OptionWeights, convolve_depthwise
from nasforge_plugins.ops.basics import concatenate
from nasforge_plugins.ops.convolutions import FactorizedReduce, SeparableConv
from nasforge_plugins.ops.stacking import NormStack, stack_kernels, widen
from nasforge_plugins.ops.statistics import RunningStatistics, uses_batch
from nasforge_plugins.spaces.darts.cell import DartsCell, Edge
from nasforge_plugins.spaces.darts.names import CELLS, NODES
from nasforge_plugins.spaces.darts.supernet_cells import (
    SOURCES,
    TARGETS,
    THIN,
    TWICE,
    Scales,
    norm_apart,
    norm_together,
    scales_by_source,
    sum_parts,
)

__all__ = ["StackedCells"]


class StackedCells:
    """Runs the cells of a supernet under one set of option weights.

    Args:
        operations: Of each edge, the same for all.
        weights: Vectors by choice name; a missing one counts as ones.
    """

    def __init__(self, operations: Sequence[str], weights: OptionWeights | None) -> None:
        self.twice, self.thin = ([n for n in some if n in operations] for some in (TWICE, THIN))
        self.scales = {kind: scales_by_source(kind, operations, weights or {}) for kind in CELLS}
        self.factors = {kind: self.join_factors(self.scales[kind]) for kind in CELLS}
        self.statistics = RunningStatistics()

    def join_factors(self, scales: dict[str, Scales] | None) -> list[Tensor | None]:
        """Return the factors of the thin paths of all edges, and of those of two convolutions."""
        if scales is None:
            return [None, None]
        return [
            torch.cat([scales[s][name] for s in SOURCES for name in names]) if names else None
            for names in (self.thin, self.twice)
        ]

    def __call__(self, cell: DartsCell, before: Tensor, previous: Tensor) -> Tensor:
        """Return ``cell(before, previous, weights)``, given inputs that are rectified already."""
        states = {
            "in0": cell.before.forward_rectified(before),
            "in1": cell.previous.forward_rectified(previous),
        }
        stacks = _Stacks(self, cell, states["in0"].dtype)
        scales = self.scales[cell.plan.kind]
        parts: list[list[Tensor]] = [[] for _ in range(NODES)]
        for index, source in enumerate(SOURCES):
            if source not in states:
                states[source] = sum_parts(parts[int(source[-1])])
            state = states[source].contiguous(memory_format=torch.channels_last)
            found = stacks.run(index, state, {} if scales is None else scales[source])
            for target, part in zip(TARGETS[source], found, strict=True):
                parts[target].append(part)
        states[f"node{NODES - 1}"] = sum_parts(parts[-1])
        self.statistics.write()
        return concatenate([states[f"node{n}"] for n in range(NODES)])


class _Stacks:
    """The modules of one cell, gathered by source.

    Args:
        cells: The stacked cells that run it.
        cell: The cell.
        dtype: Type of its maps.
    """

    def __init__(self, cells: StackedCells, cell: DartsCell, dtype: torch.dtype) -> None:
        self.twice, self.thin, self.statistics = cells.twice, cells.thin, cells.statistics
        self.reduces = cell.plan.kind == "reduce"
        self.edges = [
            [cast("Edge", cast("EdgeSum", cell.nodes[node]).edges[source]) for node in TARGETS[source]]
            for source in SOURCES
        ]
        first, second = (
            [cast("nn.Sequential", op)[i] for op in self.list_operations(self.twice)] for i in (0, 1)
        )
        modules = [first, second, self.list_operations(self.thin)]
        convs = cast("list[SeparableConv]", [conv for some in modules for conv in some])
        channels = convs[0].pointwise.weight.shape[0]
        counts = [[len(names) * len(e) for e in self.edges] for names in (self.twice, self.twice, self.thin)]
        sizes = [channels * count for some in counts for count in some]
        depthwise = stack_kernels([conv.depthwise.weight for conv in convs], dtype).split(sizes)
        pointwise = torch.cat([conv.pointwise.weight for conv in convs]).to(dtype).split(sizes)
        self.middle = depthwise[0].shape[-1] // 2
        thin, twice = cells.factors[cell.plan.kind]
        self.paths: list[_Path | None] = []
        for role, factor in enumerate((None, twice, thin)):
            some = slice(role * len(SOURCES), (role + 1) * len(SOURCES))
            norms = [cast("SeparableConv", conv).norm for conv in modules[role]]
            if norms:
                batch = uses_batch(norms[0])
                stack = NormStack(norms, counts[role], factor, batch, self.statistics)
                self.paths.append(_Path(depthwise[some], pointwise[some], stack))
            else:
                self.paths.append(None)

    def list_operations(self, names: Sequence[str]) -> list[nn.Module]:
        return [edge.options[name] for edges in self.edges for name in names for edge in edges]

    def run(self, index: int, state: Tensor, scale: Scales) -> list[Tensor]:
        """Return one map ``(B, C, H, W)`` per edge that leaves a state.

        Args:
            index: Of the source.
            state: The state, ``(B, C, H, W)``.
            scale: Factors of the edges by operation, ``(edges,)`` each; if empty, all are 1.
        """
        edges, x = self.edges[index], F.relu(state)
        count, stride = len(edges), 2 if self.reduces and index < 2 else 1
        opening, closing, thin = self.paths
        sums: list[Tensor] = []
        wide: dict[int, Tensor] = {}
        for path, names in ((opening, self.twice), (thin, self.thin)):
            if path is None:
                continue
            copies = len(names) * count
            if copies not in wide:
                wide[copies] = widen(x, copies)
            y = path.run(index, wide[copies], self.middle, stride, 1 if path is opening else 2)
            if path is opening:
                assert closing is not None
                y = closing.run(index, F.relu(y), self.middle)
            sums.append(y)
        if len(sums) == 2 and len(self.twice) == len(self.thin):
            sums = [sums[0] + sums[1]]
        total = sum_parts([_sum_paths(y, count, state.shape[1]) for y in sums])
        for image, factor in self.list_images(edges, state, x, stride, scale):
            total = total + image if factor is None else torch.addcmul(total, image, factor)
        flat = total.flatten(3).chunk(count, 3)
        return [part.permute(0, 3, 1, 2) for part in flat]

    def list_images(
        self, edges: list[Edge], state: Tensor, x: Tensor, stride: int, scale: Scales
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Return pools and skips ``(B, H, W, edges or 1, C)``, with their factors ``(edges, 1)``."""
        found: list[tuple[Tensor, Tensor | None]] = []

        def add(image: Tensor, name: str) -> None:
            factor = scale[name].to(image.dtype).unsqueeze(1) if scale else None
            found.append((image.permute(0, 2, 3, 1).unsqueeze(3), factor))

        names = edges[0].choice.options
        for name in ("max_pool_3x3", "avg_pool_3x3"):
            if name not in names:
                continue
            average = name.startswith("avg")
            pooled = (
                F.avg_pool2d(state, 3, stride, 1, count_include_pad=False)
                if average
                else F.max_pool2d(state, 3, stride, 1)
            )
            pools = [edge.options[name] for edge in edges]
            if not isinstance(pools[0], nn.Sequential):
                add(pooled, name)
                continue
            norms = [cast("nn.BatchNorm2d", cast("nn.Sequential", pool)[1]) for pool in pools]
            if uses_batch(norms[0]):
                add(norm_together(pooled, norms, self.statistics), name)
                continue
            b, c, h, w = pooled.shape
            apart = norm_apart(pooled, norms, scale.get(name)).view(len(edges), b, h, w, c)
            found.append((apart.permute(1, 2, 3, 0, 4), None))
        if "skip_connect" in names:
            if stride == 1:
                add(state, "skip_connect")
            else:
                found.append((self.run_strided_skips(edges, x, scale), None))
        return found

    def run_strided_skips(self, edges: list[Edge], x: Tensor, scale: Scales) -> Tensor:
        """Return the weighted, strided ``skip_connect`` of every edge, ``(B, H, W, edges, C)``."""
        modules = [cast("FactorizedReduce", edge.options["skip_connect"]) for edge in edges]
        halves = []
        for name, image in (("even", x), ("odd", modules[0].shift(x))):
            weight = torch.cat([getattr(module, name).weight for module in modules]).to(x.dtype)
            half = F.conv2d(image, weight, stride=2)
            halves.append(half.permute(0, 2, 3, 1).unflatten(3, (len(edges), -1)))
        maps = torch.cat(halves, 4).flatten(3).permute(0, 3, 1, 2)
        norms = [module.norm for module in modules]
        factor = scale["skip_connect"] if scale else None
        stack = NormStack(norms, [len(edges)], factor, uses_batch(norms[0]), self.statistics)
        return stack.run(0, maps).permute(0, 2, 3, 1).unflatten(3, (len(edges), -1))


class _Path:
    """Stacked separable convolutions of a role: first or second of two, or dilated."""

    def __init__(self, depthwise: Sequence[Tensor], pointwise: Sequence[Tensor], norms: NormStack) -> None:
        self.depthwise, self.pointwise, self.norms = depthwise, pointwise, norms

    def run(self, index: int, x: Tensor, middle: int, stride: int = 1, dilation: int = 1) -> Tensor:
        depthwise, pointwise = self.depthwise[index], self.pointwise[index]
        y = convolve_depthwise(x, depthwise, stride, dilation * middle, dilation)
        y = F.conv2d(y, pointwise, groups=len(pointwise) // pointwise.shape[1])
        return self.norms.run(index, y)


def _sum_paths(y: Tensor, edges: int, channels: int) -> Tensor:
    """Add up the paths of each edge; return ``(B, H, W, edges, C)``."""
    rows = y.permute(0, 2, 3, 1)
    if rows.shape[3] == edges * channels:
        return rows.unflatten(3, (edges, channels))
    return rows.unflatten(3, (-1, edges, channels)).sum(3)
