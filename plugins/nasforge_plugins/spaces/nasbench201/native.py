"""Cells by the kernels in C: from modules and option weights to what `cell` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from nasforge.nn import ChoiceBlock, OptionWeights, Picked
from nasforge_plugins.ops.native import cell as cell_kernels
from nasforge_plugins.ops.native import winograd
from nasforge_plugins.ops.normed import Statistics
from nasforge_plugins.spaces.nasbench201.cell import cell
from nasforge_plugins.spaces.nasbench201.cell_parts import NODES, CellForm
from nasforge_plugins.spaces.nasbench201.notation import EDGES
from nasforge_plugins.spaces.nasbench201.operations import NormalisedConv

__all__ = ["fits", "run_native"]

KINDS = ("nor_conv_3x3", "nor_conv_1x1", "skip_connect", "avg_pool_3x3")


class _Operation(NamedTuple):
    """An operation that runs.

    Attributes:
        edge: Source and node.
        module: What computes it.
        piece: Number of the vector that its weight is in.
        place: Where in there; None: its weight is one.
    """

    edge: tuple[int, int]
    module: nn.Module
    piece: int
    place: int | None


def fits(x: Tensor) -> bool:
    """Whether there are kernels for such an input; there are none for reduced precision."""
    there_are = cell_kernels.has_kernels(x) and winograd.has_kernels(x)
    return there_are and not torch.is_autocast_enabled("cpu")


def run_native(
    edges: Sequence[ChoiceBlock], x: Tensor, weights: OptionWeights | None, training: bool
) -> Tensor:
    """Return the output node of a cell; see `run_fast`."""
    kinds, pieces = _operations(edges, weights or {})
    live = _live([operation.edge for some in kinds.values() for operation in some])
    convs = [*kinds["nor_conv_3x3"], *kinds["nor_conv_1x1"]]
    plain = [*kinds["skip_connect"], *kinds["avg_pool_3x3"]]
    alive = [operation.edge[1] in live for operation in convs]
    modules = [cast("NormalisedConv", operation.module) for operation in convs]
    norms = [module.norm for module in modules]
    of_convs, of_plain = _gathered([*convs, *plain], pieces, len(convs), live, x)
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
    threes, ones, skips, pools = (tuple(operation.edge for operation in kinds[kind]) for kind in KINDS)
    form = CellForm(threes, ones, skips, pools, eps, running)
    out, mean, variance = cell(form, x, scale, shift, of_plain, [m.conv.weight for m in modules])
    if norms and training:
        statistics = Statistics()
        statistics.add(norms, mean, variance, x.numel() // x.shape[1])
        statistics.write()
    return out


def _operations(
    edges: Sequence[ChoiceBlock], weights: OptionWeights
) -> tuple[dict[str, list[_Operation]], list[Tensor]]:
    """Return the operations that run, in rising order of their edges, and vectors with their weights."""
    kinds: dict[str, list[_Operation]] = {kind: [] for kind in KINDS}
    pieces: list[Tensor] = []
    pairs = zip(((source, node) for node, source in EDGES), edges, strict=True)
    for ends, edge in sorted(pairs, key=lambda pair: pair[0]):
        weight, options = weights.get(edge.choice.name), edge.choice.options
        names, vector = list(edge.options), None
        if isinstance(weight, int):
            names = [options[weight]]
            vector = weight.weight.reshape(1) if isinstance(weight, Picked) else None
        elif weight is not None:
            vector = weight
        if vector is not None:
            pieces.append(vector)
        for name in names:
            if name in kinds:
                place = None if vector is None else 0 if isinstance(weight, int) else options.index(name)
                kinds[name].append(_Operation(ends, edge.options[name], len(pieces) - 1, place))
    return kinds, pieces


def _live(edges: Sequence[tuple[int, int]]) -> set[int]:
    """Return the nodes that lead to the output."""
    live = {NODES - 1}
    for source, node in sorted(set(edges), reverse=True):  # all edges of a node come before those to it
        if node in live:
            live.add(source)
    return live


def _gathered(
    operations: Sequence[_Operation], pieces: Sequence[Tensor], convs: int, live: set[int], x: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Return the weights of the convolutions, and those of the other operations, as two vectors."""
    if not pieces or not operations:
        return None, None
    targets = {operation.piece: operation.edge[1] for operation in operations if operation.place is not None}
    # What does not lead to the output has no gradient, instead of one of zero.
    vectors = [p if targets.get(i) in live else p.detach() for i, p in enumerate(pieces)]
    starts = [0]
    for vector in vectors:
        starts.append(starts[-1] + len(vector))
    table = torch.cat([*(v.to(x.dtype) for v in vectors), x.new_ones(1)])
    places = [starts[-1] if op.place is None else starts[op.piece] + op.place for op in operations]
    found = table[torch.tensor(places)]
    return found[:convs], (found[convs:] if convs < len(operations) else None)
