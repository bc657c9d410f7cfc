"""The operator for a cell of four nodes, each the sum of weighted operations on earlier nodes.

Fallback: fused. Per source node, the ReLU and the pooling run once, all convolutions of one kernel size run
as one with stacked output channels, and the weight of an operation is folded into scale and shift of its
norm. Weights, option weights and running statistics are gathered once per cell: a GPU waits for every small
operator.

Shapes: nodes are ``(B, C, H, W)``, and operations keep the shape. The kernels in C compute float32 and
float64 on the CPU without autocast. Gradients: of the input, of all parameters and of the option weights,
first derivatives only with kernels. While training, norms use the statistics of the batch and move the
running ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge_plugins.kernels.door import find_kernel
from nasforge_plugins.ops.basics import average_pool
from nasforge_plugins.ops.stacking import NormStack, is_launch_bound
from nasforge_plugins.ops.statistics import RunningStatistics

__all__ = ["NODES", "CellOperation", "OperationKind", "sum_cell"]

NODES = 4
OperationKind = Literal["conv_3x3", "conv_1x1", "skip", "pool"]
KINDS: tuple[OperationKind, ...] = get_args(OperationKind)
CONVOLUTIONS: tuple[OperationKind, ...] = ("conv_1x1", "conv_3x3")
COPIES: tuple[OperationKind, ...] = ("skip", "pool")


class CellOperation(NamedTuple):
    """An operation that runs.

    Attributes:
        source: Node that it reads, from 0.
        node: Node that it is added to, behind ``source``.
        kind: ReLU, convolution and norm; identity; or average over 3x3 pixels.
        weight: Weight of the convolution, ``(C, C, k, k)``.
        norm: Norm behind the convolution.
        factors: Option weights, a vector or a scalar; None is a weight of one.
        place: Position of the operation in the vector; None for a scalar.
    """

    source: int
    node: int
    kind: OperationKind
    weight: Tensor | None = None
    norm: nn.BatchNorm2d | None = None
    factors: Tensor | None = None
    place: int | None = None

    @property
    def factor(self) -> Tensor | None:
        """The option weight, a scalar; None is one."""
        return self.factors if self.factors is None or self.place is None else self.factors[self.place]


def sum_cell(operations: Sequence[CellOperation], x: Tensor, training: bool) -> Tensor:
    """Return the last node, ``(B, C, H, W)``.

    Args:
        operations: All that runs, sorted by source and node.
        x: The first node, ``(B, C, H, W)``.
        training: Whether norms use and record the statistics of the batch.
    """
    kernel = find_kernel("sum_cell", x)
    return (_sum_by_source if kernel is None else kernel)(operations, x, training)


def _sum_by_source(operations: Sequence[CellOperation], x: Tensor, training: bool) -> Tensor:
    nodes: list[Tensor | None] = [x, *[None] * (NODES - 1)]
    statistics, used = RunningStatistics(), _find_used(operations)
    _fill(nodes, [o for o in operations if o.node in used], training, statistics)
    unused = [o for o in operations if o.node not in used]
    if any(o.norm is not None for o in unused):
        # Their norms see the batch, too, and the measured latency of a network is the sum of its operations'.
        # Stacked with others, their weights would have gradients of zero.
        with torch.no_grad():
            _fill(nodes, unused, training, statistics)
    statistics.write()
    return torch.zeros_like(x) if nodes[-1] is None else nodes[-1]


def _find_used(operations: Sequence[CellOperation]) -> set[int]:
    """Return the nodes from which operations lead to the last one, and that one."""
    used = {NODES - 1}
    for source in reversed(range(NODES - 1)):
        if any(o.source == source and o.node in used for o in operations):
            used.add(source)
    return used


def _fill(
    nodes: list[Tensor | None],
    operations: Sequence[CellOperation],
    training: bool,
    statistics: RunningStatistics,
) -> None:
    """Add up the nodes that operations lead to."""
    factors = _Factors(operations)
    groups = {kind: [o for o in operations if o.kind == kind] for kind in KINDS}
    convolutions = [
        _Convolutions(groups[kind], factors, training, statistics) for kind in CONVOLUTIONS if groups[kind]
    ]
    copies = {kind: factors.split(groups[kind]) for kind in COPIES if groups[kind]}
    for source in range(NODES - 1):
        state = nodes[source]
        if state is None:
            state = torch.zeros_like(cast("Tensor", nodes[0]))
        # Operations with the same targets are added up for all of these at once.
        sums: dict[tuple[int, ...], Tensor] = {}
        running = [group for group in convolutions if group.targets[source]]
        rectified = state.relu() if running else state
        for group in running:
            _add(sums, group.targets[source], group.run(source, rectified))
        for kind, split in copies.items():
            targets = _targets(groups[kind])[source]
            if targets:
                value = average_pool(state) if kind == "pool" else state
                _add(sums, targets, value.permute(0, 2, 3, 1).unsqueeze(3), split[source])
        for targets, total in sums.items():
            for node, part in zip(targets, _parts(total, len(targets)), strict=True):
                before, map_ = nodes[node], part.permute(0, 3, 1, 2)
                nodes[node] = map_ if before is None else before + map_


def _add(
    sums: dict[tuple[int, ...], Tensor], targets: tuple[int, ...], value: Tensor, factor: Tensor | None = None
) -> None:
    """Add maps ``(B, H, W, targets or 1, C)``, times a factor for each target."""
    if len(targets) > 1 and not is_launch_bound(value):
        factors = [None] * len(targets) if factor is None else factor.split(1)
        for target, part, scale in zip(targets, _parts(value, len(targets)), factors, strict=True):
            _add(sums, (target,), part.unsqueeze(3), scale)
        return
    before = sums.get(targets)
    if factor is not None:
        scale = factor.to(value.dtype)
        scale = scale.unsqueeze(1) if len(scale) > 1 else scale.squeeze(0)
        sums[targets] = value * scale if before is None else torch.addcmul(before, value, scale)
    else:
        sums[targets] = value if before is None else before + value


def _parts(total: Tensor, count: int) -> Sequence[Tensor]:
    """Return a map ``(B, H, W, C)`` per target of a sum ``(B, H, W, targets or 1, C)``."""
    if total.shape[3] == 1:
        return [total.squeeze(3)] * count
    # Channels are split: backward, torch joins them in their layout.
    return total.flatten(3).chunk(count, 3)


def _targets(group: Sequence[CellOperation]) -> list[tuple[int, ...]]:
    """Return the nodes that the operations of a group lead to, by source."""
    return [tuple(o.node for o in group if o.source == source) for source in range(NODES - 1)]


class _Factors:
    """The option weights of a cell, gathered once: reading each by itself costs an operator or two."""

    def __init__(self, operations: Sequence[CellOperation]) -> None:
        vectors = {id(o.factors): o.factors for o in operations if o.place is not None}
        given = [cast("Tensor", vector) for vector in vectors.values()]
        alike = len({vector.shape for vector in given}) == 1
        self._rows = list(vectors) if alike else []
        self._columns = torch.stack(given).unbind(1) if alike else ()

    def of(self, group: Sequence[CellOperation]) -> Tensor | None:
        """Return one weight per operation; None if all are 1."""
        if all(o.factors is None for o in group):
            return None
        places = {o.place for o in group}
        if len(places) == 1 and [id(o.factors) for o in group] == self._rows:
            return self._columns[cast("int", places.pop())]
        one = next(o.factors for o in group if o.factors is not None).new_ones(())
        return torch.stack([one if o.factor is None else o.factor for o in group])

    def split(self, group: Sequence[CellOperation]) -> Sequence[Tensor | None]:
        """Return the weights of a group by source."""
        found, sizes = self.of(group), [len(targets) for targets in _targets(group)]
        return [None] * len(sizes) if found is None else found.split(sizes)


class _Convolutions:
    """All convolutions of one kernel size, each closed by its norm.

    Args:
        group: The operations, sorted by source.
        factors: Option weights of the cell.
        training: Whether norms use and record the statistics of the batch.
        statistics: Receives these.

    Attributes:
        targets: Nodes that they lead to, by source.
    """

    def __init__(
        self, group: Sequence[CellOperation], factors: _Factors, training: bool, statistics: RunningStatistics
    ) -> None:
        self.targets = _targets(group)
        counts = [len(targets) for targets in self.targets]
        weight = torch.cat([cast("Tensor", o.weight) for o in group])
        self._padding = weight.shape[-1] // 2
        self._weights = weight.split([weight.shape[1] * count for count in counts])
        norms = [cast("nn.BatchNorm2d", o.norm) for o in group]
        factor = factors.of(group)
        factor = None if factor is None else factor.to(weight.dtype)
        self._norms = NormStack(norms, counts, factor, training, statistics)

    def run(self, source: int, rectified: Tensor) -> Tensor:
        """Return the maps of the convolutions that read a node, ``(B, H, W, targets, C)``."""
        maps = self._norms.run(source, F.conv2d(rectified, self._weights[source], padding=self._padding))
        return maps.permute(0, 2, 3, 1).unflatten(3, (len(self.targets[source]), -1))
