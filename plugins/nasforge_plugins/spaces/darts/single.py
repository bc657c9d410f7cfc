"""Network cells, and supernets of which single options run: operation by operation, on shared inputs."""

from __future__ import annotations

from functools import cached_property, partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasforge.nn import EdgeSum, OptionWeights
from nasforge.nn.choice import weighted_sum
from nasforge_plugins.ops.convolutions import FactorizedReduce, SeparableConv
from nasforge_plugins.ops.depthwise import can_interleave, deinterleave, depthwise, interleave
from nasforge_plugins.ops.simple import concatenate
from nasforge_plugins.spaces.darts.cell import Cell, Edge
from nasforge_plugins.spaces.darts.genotype import NODES

__all__ = ["SingleCells"]


class SingleCells:
    """Runs the cells of a network, or those options of a supernet that an index picks.

    Args:
        weights: Option weights by choice name.
    """

    def __init__(self, weights: OptionWeights | None) -> None:
        self.weights = weights

    def __call__(self, cell: Cell, before: Tensor, previous: Tensor) -> Tensor:
        """Return what ``cell(before, previous, weights)`` returns."""
        states = {"in0": _State(cell.before(before)), "in1": _State(cell.previous(previous))}
        for index, module in enumerate(cell.nodes):
            node = cast("EdgeSum", module)
            edges = ((s, partial(self.edge, cast("Edge", e), states[s])) for s, e in node.edges.items())
            states[f"node{index}"] = _State(weighted_sum(node.choice, edges, self.weights))
        return concatenate([states[f"node{index}"].x for index in range(NODES)])

    def edge(self, edge: Edge, state: _State) -> Tensor:
        """Return the weighted sum of an edge's operations."""
        options = ((name, partial(state.run, name, option)) for name, option in edge.options.items())
        return edge.drop(weighted_sum(edge.choice, options, self.weights))


class _State:
    """A map that several operations read."""

    def __init__(self, x: Tensor) -> None:
        self.x = x.contiguous(memory_format=torch.channels_last)

    @cached_property
    def relu(self) -> Tensor:
        return F.relu(self.x)

    @cached_property
    def interleaved(self) -> Tensor:
        return interleave(self.relu)

    @cached_property
    def halved(self) -> Tensor:
        return self.relu[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)

    @cached_property
    def pools(self) -> dict[tuple[str, int], Tensor]:
        return {}

    def run(self, name: str, option: nn.Module) -> Tensor:
        """Return what ``option`` makes of this map."""
        if isinstance(option, FactorizedReduce):
            return option.norm(option.convolve(self.relu))
        if isinstance(option, SeparableConv):
            return self.dilated(option)
        if name.startswith("sep"):
            first, second = cast("nn.Sequential", option)
            return _separable(second, F.relu(_separable(first, self.relu)))
        if name.endswith("pool_3x3"):
            norm = option[1] if isinstance(option, nn.Sequential) else nn.Identity()
            return norm(self.pooled(option[0] if isinstance(option, nn.Sequential) else option))
        return option(self.x)

    def pooled(self, window: nn.Module) -> Tensor:
        key = (type(window).__name__, cast("int", window.stride))
        if key not in self.pools:
            self.pools[key] = window(self.x)
        return self.pools[key]

    def dilated(self, conv: SeparableConv) -> Tensor:
        if conv.depthwise.stride[0] == 2:  # sees every other pixel only
            return _close(conv, depthwise(self.halved, conv.depthwise.weight))
        if not can_interleave(self.x):
            return _close(conv, depthwise(self.relu, conv.depthwise.weight, 1, 2))
        y = _close(conv, depthwise(self.interleaved, conv.depthwise.weight))
        b, c, h, w = self.x.shape
        rows = y.permute(0, 2, 3, 1).reshape(1, -1, c)
        return deinterleave(rows, h, w).reshape(b, h, w, c).permute(0, 3, 1, 2)


def _separable(module: nn.Module, x: Tensor) -> Tensor:
    conv = cast("SeparableConv", module)
    return _close(conv, depthwise(x, conv.depthwise.weight, conv.depthwise.stride[0]))


def _close(conv: SeparableConv, x: Tensor) -> Tensor:
    return conv.norm(conv.pointwise(x))
