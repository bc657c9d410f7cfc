"""The statements of a forward pass, with short expressions written into each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Node

from nasforge.exports.standalone.blocks import Block, Member, Statement
from nasforge.exports.standalone.naming import Names, short_names
from nasforge.exports.standalone.operators import Text, write_operator
from nasforge.exports.standalone.regions import Region, is_size

if TYPE_CHECKING:
    from nasforge.exports.standalone.building import Builder

__all__ = ["Body"]

WIDTH = 84
"""Longest statement that other expressions are written into."""

RESULTS = {"add": "total", "cat": "joined", "mean": "pooled", "mul": "scaled", "relu": "positive"}
"""Names for the results of operators."""


class Body:
    """Writes the statements of one forward pass.

    Args:
        builder: Makes the members.
        block: Receives statements and members.
        path: Dotted path of the module.
        given: Names of the arguments, by what they stand for.
    """

    def __init__(self, builder: Builder, block: Block, path: str, given: dict[Node, str]) -> None:
        self._builder, self._block, self._path = builder, block, path
        self._texts: dict[Node, Text] = {node: Text(name) for node, name in given.items()}
        self._variables = Names(given.values())
        self._attributes: dict[str, str] = {}
        self._pending: dict[Node, str] = {}

    def write(self, placed: list[tuple[Node | Region, str]], results: list[Node]) -> None:
        """Write all statements and the returned expression."""
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
