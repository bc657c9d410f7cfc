"""Regions as modules to be written: their members, and the statements of their forward pass."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.fx import Node

from nasforge.exports.standalone.layers import Layer, layer_of
from nasforge.exports.standalone.naming import Names, short_names
from nasforge.exports.standalone.operators import Text, write_operator
from nasforge.exports.standalone.regions import Recording, Region, is_size
from nasforge.nn import ChoiceBlock, EdgeSum

__all__ = ["Block", "Builder", "Chain", "Member", "Statement", "Weight"]

WIDTH = 84
"""Longest statement that other expressions are written into."""

RESULTS = {"add": "total", "cat": "joined", "mean": "pooled", "mul": "scaled", "relu": "positive"}
"""What the result of an operator is called."""


@dataclass(frozen=True)
class Weight:
    """A parameter or buffer of a module that is not a layer.

    Attributes:
        shape: Its shape.
        dtype: Its type, such as ``"torch.float32"``.
        trained: Whether it is a parameter.
    """

    shape: tuple[int, ...]
    dtype: str
    trained: bool


@dataclass(frozen=True)
class Chain:
    """A `torch.nn.Sequential`; its members are in the order in which they run."""

    members: tuple[Member, ...]


@dataclass(frozen=True)
class Statement:
    """A line of a forward pass.

    Attributes:
        code: The line.
        shape: Shape of what it assigns, as text; ``N`` is the batch.
    """

    code: str
    shape: str


@dataclass
class Block:
    """A module with a forward pass of its own.

    Attributes:
        kind: Name of the class it was recorded from.
        inputs: Names of the arguments of its forward pass.
        members: Layers, blocks and weights by name of the attribute.
        statements: The forward pass, without the last line.
        result: The expression that is returned.
        shape: Its shape.
    """

    kind: str
    inputs: tuple[str, ...]
    members: dict[str, Member] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    result: str = ""
    shape: str = ""


@dataclass(frozen=True)
class Member:
    """A part of a module.

    Attributes:
        what: The part.
        path: Dotted path of the module or weight it stands for.
    """

    what: Layer | Weight | Chain | Block
    path: str

    def key(self) -> Any:
        """Return a value that is equal for parts that may differ in the arguments of layers only."""
        what = self.what
        if isinstance(what, Layer):
            return ("layer", what.kind)
        if isinstance(what, Weight):
            return ("weight", what.dtype, what.trained, len(what.shape))
        if isinstance(what, Chain):
            return ("chain", tuple(member.key() for member in what.members))
        members = tuple((name, member.key()) for name, member in what.members.items())
        lines = tuple(statement.code for statement in what.statements)
        return ("block", what.kind, what.inputs, members, lines, what.result)


class Builder:
    """Builds the blocks of a recording.

    Args:
        recording: The recorded operators.
        module: The module that was recorded.
    """

    def __init__(self, recording: Recording, module: nn.Module) -> None:
        self._recording, self._module = recording, module
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
        body = _Body(self, block, path, dict(zip(given, inputs, strict=True)))
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


class _Body:
    """Writes the statements of one forward pass."""

    def __init__(self, builder: Builder, block: Block, path: str, given: dict[Node, str]) -> None:
        self._builder, self._block, self._path = builder, block, path
        self._texts: dict[Node, Text] = {node: Text(name) for node, name in given.items()}
        self._variables = Names(given.values())
        self._attributes: dict[str, str] = {}
        self._pending: dict[Node, str] = {}

    def write(self, placed: list[tuple[Node | Region, str]], results: list[Node]) -> None:
        """Write all statements, and what is returned."""
        items = [item for item, _ in placed]
        recording = self._builder.recording
        outputs = [i if isinstance(i, Node) else recording.outputs(i)[0] for i in items]
        reads = [list(_tensors(i)) if isinstance(i, Node) else recording.inputs(i) for i in items]
        self._name(items, reads)
        uses = Counter(node for read in reads for node in read)
        uses.update(results)
        for (item, place), output, read in zip(placed, outputs, reads, strict=True):
            text = self._text(item, read)
            if len(text.code) + len(self._wanted(item, place)) > WIDTH:
                for node in read:
                    self._assign(node)
                text = self._text(item, read)
            self._texts[output] = text
            self._pending[output] = self._wanted(item, place)
            several = isinstance(output.meta["val"], tuple | list) and not text.first
            is_sum = bool(place) and self._builder.is_sum(place) and output not in results
            if uses[output] > 1 or several or is_sum:
                self._assign(output)
        self._block.result = ", ".join(self._texts[node].code for node in results)
        self._block.shape = ", ".join(_shape(node) for node in results)

    def _name(self, items: list[Node | Region], reads: list[list[Node]]) -> None:
        """Choose the names of all members."""
        builder, recording = self._builder, self._builder.recording
        paths = [builder.core(i).path for i in items if isinstance(i, Region)]
        outer = {builder.core(i).path: i.path for i in items if isinstance(i, Region)}
        for item, read in zip(items, reads, strict=True):
            nodes = [n for n in read if recording.is_weight(n) and n not in self._texts]
            paths += [recording.weights[n.name] for n in nodes if isinstance(item, Node) or n in read]
        parts = {p: builder.part_name(outer.get(p, p), self._path) for p in dict.fromkeys(paths)}
        names = short_names(dict.fromkeys(parts.values()), {"forward", "training"})
        scope = Names()
        self._attributes = {path: scope.give(names[part]) for path, part in parts.items()}

    def _text(self, item: Node | Region, read: list[Node]) -> Text:
        if isinstance(item, Region):
            core = self._builder.core(item)
            name = self._member(self._builder.member(core))
            return Text(f"self.{name}({', '.join(self._value(node).code for node in read)})")
        args = [self._argument(a) for a in item.args]
        kwargs = {key: self._argument(a) for key, a in item.kwargs.items()}
        return write_operator(item.target, args, kwargs)

    def _member(self, member: Member) -> str:
        """Make a part a member, and return its name; a module that is called again has one already."""
        name = self._attributes[member.path]
        known = self._block.members.setdefault(name, member)
        if known.key() != member.key():
            raise NotImplementedError(
                f"module {member.path!r} is called twice, and computes something else the second time"
            )
        return name

    def _value(self, node: Node) -> Text:
        if node not in self._texts:
            path, weight = self._builder.weight(node)
            return Text(f"self.{self._member(Member(weight, path))}")
        return self._texts[node]

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Node):
            return self._size(value) if is_size(value) else self._value(value)
        if isinstance(value, list | tuple):
            return type(value)(self._argument(v) for v in value)
        return value

    def _size(self, node: Node) -> Any:
        """Write a size: read off any tensor that has it, or computed from other sizes."""
        wanted = node.meta["val"]
        if isinstance(wanted, int):
            return wanted
        if str(node.target).startswith("aten.sym_size"):
            for known, text in self._texts.items():
                shape = getattr(known.meta["val"], "shape", ())
                for i, size in enumerate(shape):
                    if isinstance(size, torch.SymInt) and str(size) == str(wanted):
                        return Text(f"{text.inside(2)}.shape[{i}]")
        return write_operator(node.target, [self._argument(a) for a in node.args], {})

    def _assign(self, node: Node) -> None:
        """Give a value a name, if it has none."""
        if (wanted := self._pending.pop(node, None)) is None:
            return
        text, name = self._texts[node], self._variables.give(wanted)
        self._block.statements.append(Statement(f"{name} = {text.code}", _shape(node)))
        self._texts[node] = Text(name, first=text.first)

    def _wanted(self, item: Node | Region, place: str) -> str:
        if isinstance(item, Region):
            return self._attributes[self._builder.core(item).path]
        if place and place.startswith(self._path):
            (name,) = short_names([self._builder.part_name(place, self._path)]).values()
            return name
        name = getattr(item.target, "_opname", getattr(item.target, "__name__", "value"))
        return RESULTS.get(name, name)


def _tensors(node: Node) -> Iterator[Node]:
    yield from (source for source in node.all_input_nodes if not is_size(source))


def _shape(node: Node) -> str:
    shape = getattr(node.meta["val"], "shape", None)
    if shape is None:
        return ""
    return f"({', '.join('N' if not isinstance(s, int) else str(s) for s in shape)})"
