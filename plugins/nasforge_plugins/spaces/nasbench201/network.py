"""The skeleton of the benchmark: stem, three stages of cells, two residual reductions, classifier."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from nasforge.arch import Arch
from nasforge.nn import ChoiceBlock, FeatureInfo, Network, OptionWeights, Output, Picked, part_of
from nasforge.space import Task
from nasforge_plugins.kernels.sum_cell import CellOperation, OperationKind, sum_cell
from nasforge_plugins.ops.statistics import uses_batch
from nasforge_plugins.spaces.nasbench201.notation import CHOICES, EDGES
from nasforge_plugins.spaces.nasbench201.operations import (
    NoOperation,
    NormalisedConv,
    ResidualReduction,
    make_operation,
)

__all__ = ["NasBench201Cell", "NasBench201Network"]

STAGES = 3
KINDS: dict[str, OperationKind] = {
    "nor_conv_1x1": "conv_1x1",
    "nor_conv_3x3": "conv_3x3",
    "skip_connect": "skip",
    "avg_pool_3x3": "pool",
}
"""Operations by their names in `sum_cell`; ``none`` adds nothing."""


class NasBench201Cell(nn.Module):
    """Four nodes, each the sum of its edges from all nodes before; the last one is the output.

    Args:
        channels: Channels of every node.
        arch: The architecture; None makes every operation of every edge.
        affine: Whether batch-norms learn scale and shift.
        fast: Whether edges that leave one node share their work.
        share: Operations see one channel in so many.
        cut: Whether ``none`` cuts what is behind it off, or passes zeros as its gradient.
    """

    def __init__(
        self, channels: int, arch: Arch | None, affine: bool, fast: bool, share: int, cut: bool = True
    ) -> None:
        super().__init__()

        def make(name: str) -> nn.Module:
            return make_operation(name, part_of(channels, share), affine, cut)

        self.edges = nn.ModuleDict({c.name: ChoiceBlock(c, make, arch, share=share) for c in CHOICES})
        self.fast = fast

    def forward(self, x: Tensor, weights: OptionWeights | None = None, plain: bool = False) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape.

        Args:
            x: The first node.
            weights: Operation weights by edge name.
            plain: Run every operation with its own module.
        """
        if self.fast and not plain:
            operations = self.list_operations(weights or {})
            norms = [operation.norm for operation in operations if operation.norm is not None]
            # Of the norms, not of the cell: scoring lets them use the statistics of a batch in `eval` mode.
            return sum_cell(operations, x, any(map(uses_batch, norms)))
        nodes: list[Tensor] = [x]
        for (node, source), edge in zip(EDGES, self.edges.values(), strict=True):
            value = edge(nodes[source], weights)
            if node == len(nodes):
                nodes.append(value)
            else:
                nodes[node] = nodes[node] + value
        return nodes[-1]

    def list_operations(self, weights: OptionWeights) -> list[CellOperation]:
        """Return the operations that run, sorted by source and node.

        Args:
            weights: Operation weights by edge name.
        """
        edges = zip(EDGES, cast("list[ChoiceBlock]", list(self.edges.values())), strict=True)
        return [
            operation
            for (node, source), edge in sorted(edges, key=lambda pair: pair[0][::-1])
            for operation in _list_of_edge(source, node, edge, weights.get(edge.choice.name))
        ]


def _list_of_edge(
    source: int, node: int, edge: ChoiceBlock, weight: Tensor | int | None
) -> Iterator[CellOperation]:
    options, names, factors = edge.choice.options, list(edge.options), weight
    if isinstance(weight, int):
        names, factors = [options[weight]], weight.weight if isinstance(weight, Picked) else None
    for name in names:
        option = edge.options[name]
        if isinstance(option, NoOperation) and not option.cut and not isinstance(weight, Tensor):
            # A weight of zero adds nothing, and what leads here gets gradients of zero. Beside other
            # operations, that changes nothing.
            yield CellOperation(source, node, "skip", factors=option.zero)
        elif name in KINDS:
            found = CellOperation(source, node, KINDS[name], factors=cast("Tensor | None", factors))
            if isinstance(weight, Tensor):
                found = found._replace(place=options.index(name))
            if isinstance(option, NormalisedConv):
                found = found._replace(weight=option.conv.weight, norm=option.norm)
            yield found


class NasBench201Network(Network):
    """A network of equal cells (NAS-Bench-201, figure 1).

    Features are the outputs of the two residual blocks and the map that is pooled for the classifier.

    Args:
        task: Input and output sizes.
        arch: The architecture; None builds the supernet.
        channels: Width of the first stage; doubles with every stage.
        cells: Cells per stage.
        affine: Whether the batch-norms in the cells learn scale and shift.
        final_norm: Whether batch-norm and ReLU precede the pooling.
        fast: Whether cells share work between edges.
        share: Operations see one channel in so many; above 1 not ``fast``.
        cut: Whether ``none`` cuts what is behind it off, or passes zeros as its gradient.
    """

    has_blocks = True

    def __init__(
        self,
        task: Task,
        arch: Arch | None,
        *,
        channels: int,
        cells: int,
        affine: bool,
        final_norm: bool,
        fast: bool,
        share: int = 1,
        cut: bool = True,
    ) -> None:
        super().__init__()
        widths = [channels * 2**stage for stage in range(STAGES)]
        self.stem = nn.Sequential(
            nn.Conv2d(task.in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(NasBench201Cell(width, arch, affine, fast, share, cut) for _ in range(cells))
            for width in widths
        )
        self.reductions = nn.ModuleList(
            ResidualReduction(before, after) for before, after in pairwise(widths)
        )
        self.norm = nn.BatchNorm2d(widths[-1]) if final_norm else None
        self.classifier = nn.Linear(widths[-1], task.num_classes)
        self.feature_info = (
            FeatureInfo(widths[1], 2),
            FeatureInfo(widths[2], 4),
            FeatureInfo(widths[2], 4),
        )

    def forward(self, x: Tensor, weights: OptionWeights | None = None) -> Output:
        """Classify images ``(B, C, S, S)``; see `Network`."""
        x = self.stem(x)
        features: list[Tensor] = []
        for stage, cells in enumerate(self.stages):
            if stage > 0:
                x = self.reductions[stage - 1](x)
                features.append(x)
            for cell in cast("nn.ModuleList", cells):
                x = self.run_block(cell, partial(cell, weights=weights, plain=self.runs_plainly), x)
        if self.norm is not None:
            x = self.norm(x).relu()
        features.append(x)
        return Output(self.classifier(x.mean((2, 3))), tuple(features))
