"""Blocks of equal shape as one class, whose arguments are what they differ in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nasforge.exports.standalone.blocks import Block, Chain, Member, Weight
from nasforge.exports.standalone.layers import TorchLayer, Value, default_of, literal
from nasforge.exports.standalone.naming import Names

__all__ = ["Class", "Column", "Form", "find_classes"]


@dataclass(eq=False)
class Column:
    """One argument of a constructor, at the same place of several instances of a class.

    Attributes:
        word: Its name.
        values: Per instance.
        text: Source text: a literal, or the name of an argument of the class around it.
    """

    word: str
    values: list[Value]
    text: str = ""


@dataclass(frozen=True)
class Form:
    """How a member is constructed.

    Attributes:
        callee: Such as ``"nn.Conv2d"``.
        columns: The arguments without names, then with.
        named: Number of arguments that are written with their name, from the end.
        inner: Members, where the callee takes these instead.
    """

    callee: str
    columns: tuple[Column, ...] = ()
    named: int = 0
    inner: tuple[Form, ...] = ()

    def all_columns(self) -> Iterator[Column]:
        """Yield the columns of the form and of its inner ones."""
        yield from self.columns
        for form in self.inner:
            yield from form.all_columns()


@dataclass
class Class:
    """A class to be written.

    Attributes:
        name: Its name.
        block: One of its instances: for statements and names of members.
        arguments: Names of the arguments of its constructor.
        forms: How each member is constructed, by name.
        count: Number of instances.
        values: The arguments of each instance, by the identity of its block.
    """

    name: str
    block: Block
    arguments: tuple[str, ...] = ()
    forms: dict[str, Form] = field(default_factory=dict)
    count: int = 1
    values: dict[int, tuple[Value, ...]] = field(default_factory=dict)


def find_classes(root: Member) -> list[Class]:
    """Return the classes of a network: those that are used before those that use them.

    Args:
        root: The outermost block.
    """
    instances: dict[Any, list[Block]] = {}
    for member in _walk(root):
        if isinstance(member.what, Block):
            instances.setdefault(member.key(), []).append(member.what)
    names = Names()
    found: dict[Any, Class] = {}
    for key, blocks in instances.items():  # inner blocks come first
        one = Class(names.give(blocks[0].kind), blocks[0], count=len(blocks))
        for name in blocks[0].members:
            one.forms[name] = _form([block.members[name] for block in blocks], found)
        _decide(one, blocks)
        found[key] = one
    return list(found.values())


def _walk(member: Member) -> Iterator[Member]:
    """Yield a member after all inside of it."""
    inner: tuple[Member, ...] = ()
    if isinstance(member.what, Chain):
        inner = member.what.members
    elif isinstance(member.what, Block):
        inner = tuple(member.what.members.values())
    for part in inner:
        yield from _walk(part)
    yield member


def _form(members: list[Member], classes: dict[Any, Class]) -> Form:
    """Return the common form of members at the same place of all instances."""
    parts: list[Any] = [member.what for member in members]
    first = parts[0]
    if isinstance(first, TorchLayer):
        required = [Column(w, [dict(p.required)[w] for p in parts]) for w, _ in first.required]
        options = [Column(w, [dict(p.optional)[w] for p in parts]) for w, _ in first.optional]
        options = [c for c in options if any(v != default_of(first.kind, c.word) for v in c.values)]
        return Form(f"nn.{first.kind}", (*required, *options), len(options))
    if isinstance(first, Weight):
        return Form("weight", (Column("shape", [p.shape for p in parts]),))
    if isinstance(first, Chain):
        inner = zip(*(part.members for part in parts), strict=True)
        return Form("nn.Sequential", inner=tuple(_form(list(same), classes) for same in inner))
    known = classes[members[0].key()]
    columns = [Column(w, [known.values[id(p)][i] for p in parts]) for i, w in enumerate(known.arguments)]
    return Form(known.name, tuple(columns), len(columns) if len(columns) > 3 else 0)


def _decide(one: Class, blocks: list[Block]) -> None:
    """Write values equal in all instances as literals, the others as arguments of the class."""
    names, values = Names(one.forms), []
    chosen: dict[tuple[str, ...], str] = {}
    words: dict[tuple[str, ...], set[str]] = {}
    for form in one.forms.values():
        for column in form.all_columns():
            words.setdefault(tuple(map(repr, column.values)), set()).add(column.word)
    for member, form in one.forms.items():
        for column in form.all_columns():
            different = tuple(map(repr, column.values))
            if len(set(different)) == 1:
                column.text = literal(column.values[0])
                continue
            if different not in chosen:
                # What goes in and comes out alike is a width.
                same = {"in_channels", "out_channels"} <= words[different]
                word = "channels" if same else column.word
                chosen[different] = names.give(f"{member}_{word}" if word in chosen.values() else word)
                values.append(column.values)
            column.text = chosen[different]
    one.arguments = tuple(chosen.values())
    for i, block in enumerate(blocks):
        one.values[id(block)] = tuple(column[i] for column in values)
