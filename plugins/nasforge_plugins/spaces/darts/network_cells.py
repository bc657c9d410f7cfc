"""Cells computed operation by operation on shared inputs: networks, and supernets with single options."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasforge.nn import EdgeSum, OptionWeights
from nasforge.nn.choice import weighted_sum
from nasforge_plugins.kernels.bundle import BundleForm, BundlePath, bundle
from nasforge_plugins.ops.basics import concatenate
from nasforge_plugins.ops.convolutions import FactorizedReduce, SeparableConv
from nasforge_plugins.ops.statistics import RunningStatistics, uses_batch
from nasforge_plugins.spaces.darts.cell import DartsCell, Edge
from nasforge_plugins.spaces.darts.names import NODES

__all__ = ["SingleCells"]


class SingleCells:
    """Runs the cells of a network, or those options of a supernet that an index picks.

    Args:
        weights: Option weights by choice name.
        apart: Run convolutions and norms one by one, by torch's own operators: on a GPU, that is fewer.
    """

    def __init__(self, weights: OptionWeights | None, apart: bool = False) -> None:
        self.weights, self.apart = weights, apart
        self.statistics = RunningStatistics()

    def __call__(self, cell: DartsCell, before: Tensor, previous: Tensor) -> Tensor:
        """Return ``cell(before, previous, weights)``, given inputs that are rectified already."""
        states = {
            "in0": self.make_state(cell.before.forward_rectified(before)),
            "in1": self.make_state(cell.previous.forward_rectified(previous)),
        }
        for index, module in enumerate(cell.nodes):
            node = cast("EdgeSum", module)
            edges = ((s, partial(self.run_edge, cast("Edge", e), states[s])) for s, e in node.edges.items())
            some = len(node.edges) > 0
            total = (
                weighted_sum(node.choice, edges, self.weights) if some else cell.make_zeros(states["in0"].x)
            )
            states[f"node{index}"] = self.make_state(total)
        self.statistics.write()
        return concatenate([states[f"node{index}"].x for index in range(NODES)])

    def make_state(self, x: Tensor) -> _State:
        """Wrap a node's map ``(B, C, H, W)``, so that its readers share their intermediate results."""
        return _State(x, self.statistics, self.apart)

    def run_edge(self, edge: Edge, state: _State) -> Tensor:
        """Return the weighted sum of an edge's operations."""
        return edge.add(state.run, self.weights)


class _State:
    """A map that several operations read."""

    def __init__(self, x: Tensor, statistics: RunningStatistics, apart: bool) -> None:
        self.x = x.contiguous(memory_format=torch.channels_last)
        self.statistics, self.apart = statistics, apart

    @cached_property
    def relu(self) -> Tensor:
        return F.relu(self.x)

    @cached_property
    def pools(self) -> dict[tuple[str, int], Tensor]:
        return {}

    def run(self, name: str, option: nn.Module) -> Tensor:
        """Return the result of ``option`` for this map."""
        if isinstance(option, FactorizedReduce):
            return option.forward_rectified(self.relu)
        if isinstance(option, SeparableConv):
            return self.run_separable([option])
        if name.startswith("sep"):
            return self.run_separable(cast("Sequence[SeparableConv]", list(cast("nn.Sequential", option))))
        if name.endswith("pool_3x3"):
            norm = option[1] if isinstance(option, nn.Sequential) else nn.Identity()
            return norm(self.pool(option[0] if isinstance(option, nn.Sequential) else option))
        return option(self.x)

    def pool(self, window: nn.Module) -> Tensor:
        key = (type(window).__name__, cast("int", window.stride))
        if key not in self.pools:
            self.pools[key] = window(self.x)
        return self.pools[key]

    def run_separable(self, convs: Sequence[SeparableConv]) -> Tensor:
        """Run one or two separable convolutions, on a CPU as a bundle of a single edge."""
        if self.apart:
            y = self.relu
            for conv in convs:
                rectified = y if conv is convs[0] else F.relu(y)
                y = self.statistics.normalize(conv.norm, conv.pointwise(conv.depthwise(rectified)))
            return y
        first, norms = convs[0].depthwise, [conv.norm for conv in convs]
        stride, dilation = first.stride[0], first.dilation[0]
        running = scale = shift = None
        batch = uses_batch(norms[0])
        if not batch:
            means, variances = [n.running_mean for n in norms], [n.running_var for n in norms]
            running = torch.stack(cast("list[Tensor]", means)), torch.stack(cast("list[Tensor]", variances))
        if norms[0].affine:
            scale, shift = torch.stack([n.weight for n in norms]), torch.stack([n.bias for n in norms])
        total, mean, variance = bundle(
            BundleForm(1, (BundlePath(stride, dilation, len(convs) == 2),), norms[0].eps, running),
            self.x,
            scale,
            shift,
            [conv.depthwise.weight for conv in convs],
            [conv.pointwise.weight for conv in convs],
        )
        if batch:
            self.statistics.add(norms, mean, variance, total.shape[1])
        b, c, *sides = self.x.shape
        return total.view(b, *(-(-side // stride) for side in sides), c).permute(0, 3, 1, 2)
