"""The operator `sum_cell` in C: from operations and option weights to the arguments of `run_cell`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from nasforge_plugins.kernels.c import cell_operators, winograd_operators
from nasforge_plugins.kernels.c.cell_function import run_cell
from nasforge_plugins.kernels.c.cell_parts import CellForm
from nasforge_plugins.kernels.sum_cell import NODES, CellOperation
from nasforge_plugins.ops.statistics import RunningStatistics

__all__ = ["has_kernels", "sum_cell_in_c"]

KINDS = ("conv_3x3", "conv_1x1", "skip", "pool")


def has_kernels(x: Tensor) -> bool:
    """Return whether there are kernels for an input; there are none for reduced precision."""
    return (
        cell_operators.has_kernels(x)
        and winograd_operators.has_kernels(x)
        and not torch.is_autocast_enabled("cpu")
    )


def sum_cell_in_c(operations: Sequence[CellOperation], x: Tensor, training: bool) -> Tensor:
    """Return the last node of a cell; see `nasforge_plugins.kernels.sum_cell.sum_cell`."""
    kinds = [[operation for operation in operations if operation.kind == kind] for kind in KINDS]
    live = _live_nodes(operations)
    convs, plain = [*kinds[0], *kinds[1]], [*kinds[2], *kinds[3]]
    alive = [operation.node in live for operation in convs]
    norms = [cast("nn.BatchNorm2d", operation.norm) for operation in convs]
    of_convs, of_plain = _gather_factors([*convs, *plain], len(convs), live, x)
    scale = None if of_convs is None else of_convs.unsqueeze(1)
    shift = None
    if norms and norms[0].affine:
        gains, shift = (
            torch.stack([p if lives else p.detach() for p, lives in zip(some, alive, strict=True)])
            for some in ([norm.weight for norm in norms], [norm.bias for norm in norms])
        )
        scale, shift = (gains, shift) if scale is None else (gains * scale, shift * scale)
    running = None
    if norms and not training:
        running = (
            torch.stack([cast("Tensor", norm.running_mean) for norm in norms]),
            torch.stack([cast("Tensor", norm.running_var) for norm in norms]),
        )
    eps = norms[0].eps if norms else 0.0
    threes, ones, skips, pools = (
        tuple((operation.source, operation.node) for operation in some) for some in kinds
    )
    form = CellForm(threes, ones, skips, pools, eps, running)
    weights = [cast("Tensor", operation.weight) for operation in convs]
    out, mean, variance = run_cell(form, x, scale, shift, of_plain, weights)
    if norms and training:
        statistics = RunningStatistics()
        statistics.add(norms, mean, variance, x.numel() // x.shape[1])
        statistics.write()
    return out


def _live_nodes(operations: Sequence[CellOperation]) -> set[int]:
    """Return the nodes that lead to the output."""
    live = {NODES - 1}
    edges = {(operation.source, operation.node) for operation in operations}
    for source, node in sorted(edges, reverse=True):  # all edges of a node come before those to it
        if node in live:
            live.add(source)
    return live


def _gather_factors(
    operations: Sequence[CellOperation], convs: int, live: set[int], x: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Return the option weights of the convolutions, and those of the other operations, as two vectors."""
    # The operations of an edge share a vector; edges are sorted, so that sums of gradients keep their order.
    given = sorted(operations, key=lambda operation: (operation.source, operation.node))
    vectors: dict[tuple[int, int], Tensor] = {}
    for operation in given:
        if operation.factors is not None:
            # Operations that do not lead to the output have no gradient, instead of one of zero.
            factors = operation.factors.reshape(-1) if operation.place is None else operation.factors
            factors = factors if operation.node in live else factors.detach()
            vectors.setdefault((operation.source, operation.node), factors)
    if not vectors:
        return None, None
    starts: dict[tuple[int, int], int] = {}
    end = 0
    for edge, vector in vectors.items():
        starts[edge] = end
        end += len(vector)
    table = torch.cat([*(v.to(x.dtype) for v in vectors.values()), x.new_ones(1)])
    places = [
        end if op.factors is None else starts[op.source, op.node] + (op.place or 0) for op in operations
    ]
    found = table[torch.tensor(places)]
    return found[:convs], (found[convs:] if convs < len(operations) else None)
