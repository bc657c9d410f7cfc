"""From regions of recorded operators to blocks."""

from __future__ import annotations

import operator
from collections.abc import Iterator

from torch import nn
from torch.fx import Node

from nasforge.exports.standalone.blocks import Block, Chain, Member, Weight
from nasforge.exports.standalone.layers import layer_of
from nasforge.exports.standalone.regions import Recording, Region
from nasforge.exports.standalone.statements import Body
from nasforge.nn import ChoiceBlock, EdgeSum

__all__ = ["Builder"]


class Builder:
    """Builds the blocks of a recording.

    Args:
        recording: The recorded operators.
        module: The module that was recorded.
    """

    def __init__(self, recording: Recording, module: nn.Module) -> None:
        self._recording, self._module = recording, module
        self._members: dict[int, Member] = {}
        self._tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def build(self) -> Member:
        """Return the outermost module."""
        region = self._core(self._recording.root)
        return Member(self._block(region, ("images",)), region.path)

    def _core(self, region: Region) -> Region:
        """Return the inner call, if all that a module does is to call another one."""
        while len(region.items) == 1 and isinstance(inner := region.items[0], Region):
            if self._recording.inputs(inner) != self._recording.inputs(region):
                break
            region = inner
        return region

    def _member(self, region: Region) -> Member:
        if id(region) not in self._members:
            self._members[id(region)] = self._made(region)
        return self._members[id(region)]

    def _made(self, region: Region) -> Member:
        module = self._module.get_submodule(region.path)
        single = len(self._recording.inputs(region)) == 1
        # A view that is taken again after an operator in place can come to lie inside a layer.
        alone = sum(node.target is not operator.getitem for node in region.nodes()) == 1
        if single and alone and (layer := layer_of(module)) is not None:
            return Member(layer, region.path)
        if single and type(module) is nn.Sequential and (chain := self._chain(region)) is not None:
            return Member(chain, region.path)
        return Member(self._block(region), region.path)

    def _chain(self, region: Region) -> Chain | None:
        members, before = [], self._recording.inputs(region)
        for item in region.items:
            if isinstance(item, Node) or not self._is_call(item, region.path):
                return None
            if self._recording.inputs(item) != before:
                return None
            before = self._recording.outputs(item)
            members.append(self._member(self._core(item)))
        return Chain(tuple(members)) if len(members) > 1 else None

    def _is_call(self, region: Region, within: str) -> bool:
        """Return whether a region can be written as a call of a member; else it is written in place."""
        prefix = f"{within}." if within else ""
        core = self._core(region)
        if not (region.path.startswith(prefix) and core.path.startswith(prefix)) or region.path == within:
            return False
        # What held the options of a choice is of no use where one is left.
        module = self._module.get_submodule(core.path)
        if isinstance(module, ChoiceBlock | EdgeSum):
            return False
        plain = not any(True for _ in module.children()) and not any(True for _ in module.parameters())
        if plain and layer_of(module) is None:
            return False  # a class of its own would hold nothing
        return len(self._recording.outputs(region)) == 1

    def _items(self, region: Region, within: str, at: str = "") -> Iterator[tuple[Node | Region, str]]:
        """Yield operators and calls of members; everything else is written in place.

        With each comes the path of the module whose result it is, if that module is written in place.
        """
        results = self._recording.outputs(region) if at else []
        for item in region.items:
            if isinstance(item, Region) and not self._is_call(item, within):
                yield from self._items(item, within, item.path)
            else:
                yield item, at if item in results else ""

    def _block(self, region: Region, inputs: tuple[str, ...] = ()) -> Block:
        recording, path = self._recording, region.path
        given = recording.inputs(region)
        if not inputs:
            inputs = ("x",) if len(given) == 1 else tuple(f"x{i}" for i in range(len(given)))
        block = Block(type(self._module.get_submodule(path)).__name__, inputs)
        body = Body(self, block, path, dict(zip(given, inputs, strict=True)))
        body.write(list(self._items(region, path)), recording.outputs(region))
        return block

    def part_name(self, path: str, within: str) -> tuple[str, ...]:
        """Return the parts of a path below a module, without what a choice adds: the option that is left.

        Args:
            path: Of a member.
            within: Path of the module.
        """
        parts = path[len(within) + 1 if within else 0 :].split(".")
        kept = []
        owner: nn.Module = self._module.get_submodule(within)
        skip = 0
        for part in parts:
            if isinstance(owner, ChoiceBlock):
                skip = 2 if len(owner.options) == 1 else 1
            elif isinstance(owner, EdgeSum):
                skip = 1
            if skip:
                skip -= 1
            else:
                kept.append(part)
            inner = owner._modules.get(part)
            owner = owner if inner is None else inner  # the last part may be a weight
        return tuple(kept or parts)

    def weight(self, node: Node) -> tuple[str, Weight]:
        """Return the path of a weight, and what it is."""
        path = self._recording.weights[node.name]
        value = node.meta["val"]
        trained = isinstance(self._tensors.get(path), nn.Parameter)
        return path, Weight(tuple(value.shape), str(value.dtype), trained)

    @property
    def recording(self) -> Recording:
        """The recorded operators."""
        return self._recording

    def is_sum(self, path: str) -> bool:
        """Return whether a module adds the edges of a node: worth a line of its own."""
        return isinstance(self._module.get_submodule(path), EdgeSum)

    member = _member
    core = _core
