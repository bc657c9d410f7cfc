"""One cell of the DARTS space: two preprocessed inputs, four nodes, each the sum of its edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from nasforge.arch import Arch, Choice
from nasforge.nn import ChoiceBlock, DropPath, EdgeSum, OptionWeights, part_of
from nasforge.nn.choice import weighted_sum
from nasforge_plugins.ops.basics import Noise, Zero, pool
from nasforge_plugins.ops.convolutions import FactorizedReduce, ReluConvBn, SeparableConv, separable_twice
from nasforge_plugins.spaces.darts.names import NODES, edge_name, inputs_name

__all__ = ["CellPlan", "DartsCell", "Edge", "make_operation"]


class CellPlan(NamedTuple):
    """Where a cell stands in its network.

    Attributes:
        kind: Which of the two cell types it is.
        channels_before: Channels of the output of the cell before the previous one.
        channels_previous: Channels of the output of the previous cell.
        channels: Channels of its nodes; its output has four times as many.
        shrink_before: Whether the first of these two outputs has twice the side of the other.
        share: Operations see one channel in so many.
    """

    kind: Literal["normal", "reduce"]
    channels_before: int
    channels_previous: int
    channels: int
    shrink_before: bool
    share: int = 1


def make_operation(name: str, channels: int, stride: int, affine: bool, pool_norm: bool) -> nn.Module:
    """Build an operation; input and output have ``channels`` channels."""
    match name:
        case "none":
            return Zero(stride)
        case "noise":
            return Noise(stride)
        case "max_pool_3x3" | "avg_pool_3x3":
            return pool(name[:3], channels, stride, batch_norm=pool_norm)
        case "skip_connect" if stride == 1:
            return nn.Identity()
        case "skip_connect":
            return FactorizedReduce(channels, channels, affine=affine)
    kernel = int(name[-1])
    if name.startswith("sep"):
        return separable_twice(channels, kernel, stride, affine=affine)
    return SeparableConv(channels, kernel, stride, 2, affine=affine)


class Edge(ChoiceBlock):
    """The operations between a state and a node; networks may drop the path while they train.

    Args:
        choice: Which operation.
        plan: The cell it is part of.
        stride: Side of the state divided by that of the node.
        arch: The architecture; None makes every operation.
        affine: Whether batch norms learn scale and shift.
        pool_norm: Whether poolings end in a batch norm.
    """

    def __init__(
        self, choice: Choice, plan: CellPlan, stride: int, arch: Arch | None, affine: bool, pool_norm: bool
    ) -> None:
        def make(option: str) -> nn.Module:
            return make_operation(option, part_of(plan.channels, plan.share), stride, affine, pool_norm)

        super().__init__(choice, make, arch, share=plan.share)
        # A supernet drops nothing, and dropping an identity would cut the cell off its input.
        passes_on = all(isinstance(option, nn.Identity) for option in self.options.values())
        self.drop = nn.Identity() if arch is None or passes_on else DropPath()

    def mix(self, x: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return the weighted sum of the operations at ``x``."""
        return self.add(lambda name, option: option(x), weights)

    def add(self, run: Callable[[str, nn.Module], Tensor], weights: OptionWeights | None) -> Tensor:
        """Return the weighted sum of the operations, each of which a network in training may drop.

        Args:
            run: Computes an operation by its name and module.
            weights: Option weights by choice name.
        """

        def drop(name: str, option: nn.Module) -> Tensor:
            return run(name, option) if isinstance(option, nn.Identity) else self.drop(run(name, option))

        terms = ((name, partial(drop, name, option)) for name, option in self.options.items())
        return weighted_sum(self.choice, terms, weights)


class DartsCell(nn.Module):
    """A cell, computed operation by operation.

    Args:
        plan: Where it stands.
        choices: The choices of the space by name.
        arch: The architecture; None makes every operation of every edge.
        affine: Whether batch norms learn scale and shift.
        pool_norm: Whether poolings end in a batch norm.
    """

    def __init__(
        self, plan: CellPlan, choices: Mapping[str, Choice], arch: Arch | None, affine: bool, pool_norm: bool
    ) -> None:
        super().__init__()
        self.plan = plan
        before = FactorizedReduce if plan.shrink_before else ReluConvBn
        self.before = before(plan.channels_before, plan.channels, affine=affine)
        self.previous = ReluConvBn(plan.channels_previous, plan.channels, affine=affine)

        def node_sum(node: int) -> EdgeSum:
            def make(source: str) -> nn.Module:
                stride = 2 if plan.kind == "reduce" and source.startswith("in") else 1
                choice = choices[edge_name(plan.kind, node, source)]
                return Edge(choice, plan, stride, arch, affine, pool_norm)

            return EdgeSum(choices[inputs_name(plan.kind, node)], make, arch)

        self.nodes = nn.ModuleList([node_sum(node) for node in range(NODES)])

    def make_zeros(self, state: Tensor) -> Tensor:
        """Return the map of a node that adds nothing.

        Args:
            state: A preprocessed input of the cell.
        """
        stride = 2 if self.plan.kind == "reduce" else 1
        return torch.zeros_like(state[:, :, ::stride, ::stride])

    def forward(self, before: Tensor, previous: Tensor, weights: OptionWeights | None = None) -> Tensor:
        """Return the four nodes, concatenated.

        Args:
            before: Output of the cell before the previous one.
            previous: Output of the previous cell.
            weights: Option weights by choice name.
        """
        states = {"in0": self.before(before), "in1": self.previous(previous)}
        for index, node in enumerate(self.nodes):
            edges = cast("EdgeSum", node).edges
            states[f"node{index}"] = node(states, weights) if len(edges) else self.make_zeros(states["in0"])
        return torch.cat([states[f"node{index}"] for index in range(NODES)], 1)
