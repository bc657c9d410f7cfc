"""Read from a recorded block what may change in it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx, nn

from nasforge_plugins.spaces.model.channels import (
    ChannelSets,
    has_own_weight,
    is_add,
    is_depthwise,
    keeps_channels,
)
from nasforge_plugins.spaces.model.plan import BlockPlan
from nasforge_plugins.spaces.model.tracing import ACTIVATIONS, NORMS

__all__ = ["can_change_kernel", "find_branches", "find_sum", "read_block"]


def read_block(path: str, graph: fx.Graph, block: nn.Module) -> BlockPlan:
    """Return what may change in a block.

    Args:
        path: Name of the block in the model.
        graph: Its recording.
        block: The module.
    """
    sets = ChannelSets(graph, block)
    total = find_sum(graph, sets)
    spatial = [
        n for n in graph.nodes if n.op == "call_module" and not sets.squeezed.issuperset(n.all_input_nodes)
    ]
    gate, channels = _gate(total, sets) if total is not None else ("", 0)
    return BlockPlan(
        path,
        drop=total is not None and any(_is_input(n, sets) for n in total.all_input_nodes),
        inner=sets.inner(),
        kernels=tuple(
            str(n.target) for n in spatial if not sets.is_shared(n) and can_change_kernel(sets.module(n))
        ),
        activations=tuple(
            dict.fromkeys(str(n.target) for n in spatial if type(sets.module(n)) in ACTIVATIONS.values())
        ),
        gate=gate,
        gate_channels=channels,
    )


def find_sum(graph: fx.Graph, sets: ChannelSets) -> fx.Node | None:
    """Return the node that adds branch and shortcut of a residual block; None if it is not one.

    Branch and shortcut both begin at the block's input, or behind a norm and an activation there, and nothing
    but activations follows their sum. A chain of blocks is not one: its last sum begins inside.

    Args:
        graph: A recording.
        sets: Its channels.
    """
    (output,) = (n for n in graph.nodes if n.op == "output")
    node = output.args[0]
    while isinstance(node, fx.Node) and not is_add(node):
        if not keeps_channels(node, sets.module(node)):
            return None
        node = node.all_input_nodes[0]
    if not isinstance(node, fx.Node):
        return None
    start = next(n for n in graph.nodes if n.op == "placeholder")
    beginnings = {start}
    while len(start.users) == 1:
        (start,) = start.users
        if not isinstance(sets.module(start), NORMS) and not keeps_channels(start, sets.module(start)):
            break
        beginnings.add(start)
    return node if _bottlenecks(graph, node) <= beginnings else None


def find_branches(graph: fx.Graph, module: nn.Module) -> list[str]:
    """Return the submodules whose output is added to their input by the code of a module.

    Args:
        graph: The module's recording, in which submodules are not looked into.
        module: The module.
    """
    modules = dict(module.named_modules())
    found = []
    for total in filter(is_add, graph.nodes):
        for branch, shortcut in (total.all_input_nodes, reversed(total.all_input_nodes)):
            while branch.op == "call_module" and keeps_channels(branch, modules[str(branch.target)]):
                branch = branch.all_input_nodes[0]
            if branch.op == "call_module" and branch.all_input_nodes == [shortcut]:
                found.append(str(branch.target))
    return [name for name in found if found.count(name) == 1]


def can_change_kernel(module: nn.Module | None) -> bool:
    """Return whether a module is a convolution whose kernel can change while its maps keep their size."""
    if not isinstance(module, nn.Conv2d) or not has_own_weight(module) or module.padding_mode != "zeros":
        return False
    (k, other), dilation = module.kernel_size, module.dilation[0]
    if k != other or k % 2 == 0 or k == 1 or dilation != module.dilation[1]:
        return False
    return module.padding == (dilation * (k - 1) // 2,) * 2


def _bottlenecks(graph: fx.Graph, end: fx.Node) -> set[fx.Node]:
    """Return the nodes that every way from the block's input to a node passes, without that node."""
    passed: dict[fx.Node, set[fx.Node]] = {}
    for node in graph.nodes:
        ways = [passed[n] for n in node.all_input_nodes if n in passed]
        if ways:
            passed[node] = set.intersection(*ways) | {node}
        elif node.op == "placeholder" and not passed:
            passed[node] = {node}
    return passed.get(end, set()) - {end}


def _is_input(node: fx.Node, sets: ChannelSets) -> bool:
    """Return whether a value is the block's input itself."""
    while isinstance(sets.module(node), nn.Identity):
        node = node.all_input_nodes[0]
    return node.op == "placeholder"


def _gate(total: fx.Node, sets: ChannelSets) -> tuple[str, int]:
    """Return the module that ends the branch, and its channels."""
    for node in sorted(total.all_input_nodes, key=lambda n: -len(list(_before(n)))):
        module = sets.module(node)
        if sets.is_shared(node) or len(node.users) != 1:
            continue
        if isinstance(module, nn.Conv2d) and not is_depthwise(module):
            return str(node.target), module.out_channels
        if isinstance(module, nn.BatchNorm2d):
            return str(node.target), module.num_features
        return "", 0
    return "", 0


def _before(node: fx.Node) -> Iterator[fx.Node]:
    seen = {node}
    waiting = [node]
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in seen:
                seen.add(source)
                waiting.append(source)
                yield source
