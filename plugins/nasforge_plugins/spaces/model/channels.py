"""Groups of channels in a block: the layers that make, pass and read them.

Every value of the recorded block has a set of channels. A convolution begins a new set and reads one; norms,
activations, pools and depthwise convolutions keep theirs; sums and products join two sets. A set may become
smaller if convolutions alone make it, convolutions alone read it, and the block's input and output are not in
it.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from nasforge_plugins.spaces.model.plan import InnerWidth
from nasforge_plugins.spaces.model.tracing import ACTIVATIONS, NORMS

__all__ = ["ChannelSets", "has_own_weight", "is_add", "is_depthwise", "keeps_channels"]

POOLS = (nn.AvgPool2d, nn.MaxPool2d)
SQUEEZES = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
KEEPERS = (
    *ACTIVATIONS.values(), *POOLS, *SQUEEZES, nn.ELU, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.Identity,
    nn.Dropout, nn.Dropout2d,
)  # fmt: skip
DROPPING = frozenset({"StochasticDepth", "DropPath"})
"""Names of modules that switch whole branches off while a network trains."""

FUNCTIONS: frozenset[Any] = frozenset(
    {
        F.relu, F.relu6, F.leaky_relu, F.silu, F.hardswish, F.gelu, F.mish, F.elu, F.sigmoid, F.hardsigmoid,
        F.dropout, F.dropout2d, F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d, torch.relu, torch.sigmoid,
        torch.tanh,
    }
)  # fmt: skip
METHODS = frozenset({"relu", "relu_", "sigmoid", "tanh", "clone", "contiguous", "mean"})
ADDITIONS: frozenset[Any] = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
PRODUCTS: frozenset[Any] = frozenset({operator.mul, operator.imul, torch.mul, "mul", "mul_"})


def is_add(node: fx.Node) -> bool:
    """Return whether a node adds two values of the recording."""
    return node.target in ADDITIONS and len(node.all_input_nodes) == 2


def is_depthwise(conv: nn.Conv2d) -> bool:
    """Return whether a convolution filters every channel by itself."""
    return 1 < conv.groups == conv.in_channels == conv.out_channels


def has_own_weight(module: nn.Module) -> bool:
    """Return whether a layer's weight is a parameter, rather than computed from others when it is read."""
    return module._parameters.get("weight") is not None


def keeps_channels(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a node maps one value channel by channel, without weights.

    Args:
        node: Of a recording.
        module: The module that it calls, if it does.
    """
    if len(node.all_input_nodes) != 1:
        return False
    if module is not None:
        return type(module) in KEEPERS or type(module).__name__ in DROPPING
    if node.target == "mean":
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return tuple(dims) in ((2, 3), (-2, -1), (-1, -2)) if isinstance(dims, list | tuple) else False
    return node.target in FUNCTIONS or node.target in METHODS or node.target in (ADDITIONS | PRODUCTS)


@dataclass
class _Set:
    channels: int = 0
    fixed: bool = False
    squeezed: bool = False
    multiple: int = 1
    producers: list[str] = field(default_factory=list)
    carriers: list[str] = field(default_factory=list)
    consumers: list[str] = field(default_factory=list)


class ChannelSets:
    """The sets of channels of a recorded block.

    Args:
        graph: The recording.
        block: The recorded module.
    """

    def __init__(self, graph: fx.Graph, block: nn.Module) -> None:
        self._modules = dict(block.named_modules())
        self._sets: dict[fx.Node, _Set] = {}
        self._joined: dict[int, _Set] = {}
        self.squeezed: set[fx.Node] = set()
        """Nodes whose values have one pixel: what a gate is computed from."""
        calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
        self._shared = {name for name in calls if calls.count(name) > 1}
        for node in graph.nodes:
            self._sets[node] = self._read(node)

    def module(self, node: fx.Node) -> nn.Module | None:
        """Return the module that a node calls; None if it calls none."""
        return self._modules[str(node.target)] if node.op == "call_module" else None

    def is_shared(self, node: fx.Node) -> bool:
        """Return whether the node's module is called more than once."""
        return str(node.target) in self._shared

    def inner(self) -> tuple[InnerWidth, ...]:
        """Return the sets that may become smaller, in the order of the block."""
        found: dict[int, _Set] = {}
        for one in self._sets.values():
            top = self._top(one)
            found[id(top)] = top
        return tuple(
            InnerWidth(tuple(s.producers), tuple(s.carriers), tuple(s.consumers), s.channels, s.multiple)
            for s in found.values()
            if not s.fixed and not s.squeezed and s.producers and s.consumers and s.channels > 1
        )

    def _top(self, one: _Set) -> _Set:
        while id(one) in self._joined:
            one = self._joined[id(one)]
        return one

    def _join(self, a: _Set, b: _Set) -> _Set:
        a, b = self._top(a), self._top(b)
        if a is b:
            return a
        a.fixed |= b.fixed or a.channels != b.channels
        a.multiple = math.lcm(a.multiple, b.multiple)
        a.squeezed &= b.squeezed
        for name in ("producers", "carriers", "consumers"):
            getattr(a, name).extend(getattr(b, name))
        self._joined[id(b)] = a
        return a

    def _read(self, node: fx.Node) -> _Set:
        inputs, module = node.all_input_nodes, self.module(node)
        if node.op == "call_module" and not self.is_shared(node) and len(inputs) == 1:
            if isinstance(module, nn.Conv2d) and has_own_weight(module):
                return self._convolve(node, inputs[0], module)
            if isinstance(module, NORMS):
                return self._norm(node, inputs[0], module)
        if keeps_channels(node, module):
            squeezes = isinstance(module, SQUEEZES) or node.target in ("mean", F.adaptive_avg_pool2d)
            if squeezes or inputs[0] in self.squeezed:
                self.squeezed.add(node)
            return self._sets[inputs[0]]
        if len(inputs) == 2 and node.target in (ADDITIONS | PRODUCTS):
            if self.squeezed.issuperset(inputs):
                self.squeezed.add(node)
            return self._join(self._sets[inputs[0]], self._sets[inputs[1]])
        # Input and output, and every operation that is not known to keep channels apart.
        for source in inputs:
            self._top(self._sets[source]).fixed = True
        return _Set(fixed=True)

    def _convolve(self, node: fx.Node, source: fx.Node, conv: nn.Conv2d) -> _Set:
        read, name = self._top(self._sets[source]), str(node.target)
        squeezed = source in self.squeezed
        if squeezed:
            self.squeezed.add(node)
        if is_depthwise(conv):
            read.carriers.append(name)
            return read
        if conv.groups > 1:
            read.fixed = True
            return _Set(conv.out_channels, fixed=True)
        read.consumers.append(name)
        return _Set(conv.out_channels, squeezed=squeezed, producers=[name])

    def _norm(self, node: fx.Node, source: fx.Node, norm: nn.Module) -> _Set:
        carried = self._top(self._sets[source])
        carried.carriers.append(str(node.target))
        if isinstance(norm, nn.GroupNorm):
            carried.multiple = math.lcm(carried.multiple, norm.num_groups)
        if source in self.squeezed:
            self.squeezed.add(node)
        return carried
