"""Genotype text of the DARTS family: read by a parser, never evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from nasforge.errors import ArchError, suggest
from nasforge_plugins.spaces.darts.names import NODES

__all__ = ["Genotype", "parse_genotype", "parse_stages", "write_genotype"]

CONCAT = [2, 3, 4, 5]
FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
TOKEN = re.compile(r"\s*(?:([A-Za-z_]\w*)|(-?\d{1,9})|'([^'\\\n]*)'|\"([^\"\\\n]*)\"|([()\[\],=]))")
DEEPEST = 6

Pair = tuple[str, int]


class Genotype(NamedTuple):
    """The two cells: eight pairs of operation and input each, two per node, the stronger input first."""

    normal: tuple[Pair, ...]
    reduce: tuple[Pair, ...]


class _Token(NamedTuple):
    kind: str  # "name", "number", "text", "mark", "end"
    value: str
    position: int


def _shown(token: _Token) -> str:
    return repr(token.value) if token.kind != "end" else "the end"


class _GenotypeReader:
    """A recursive-descent reader of one genotype."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._split())
        self.at = 0

    def fail(self, position: int, problem: str) -> ArchError:
        start = max(0, position - 20)
        near = self.text[start : position + 20]
        return ArchError(
            f"genotype, character {position + 1}: {problem} Near {near!r}. "
            "Write Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=range(2, 6), reduce=[…], "
            "reduce_concat=range(2, 6))."
        )

    def _split(self) -> Sequence[_Token]:
        tokens, position = [], 0
        end = len(self.text.rstrip())
        while position < end:
            match = TOKEN.match(self.text, position)
            if match is None:
                position += len(self.text[position:]) - len(self.text[position:].lstrip())
                raise self.fail(position, f"cannot read {self.text[position]!r}.")
            name, number, single, double, mark = match.groups()
            kind, value = next(
                (kind, value)
                for kind, value in (
                    ("name", name),
                    ("number", number),
                    ("text", single),
                    ("text", double),
                    ("mark", mark),
                )
                if value is not None
            )
            tokens.append(_Token(kind, value, match.end() - len(match.group().lstrip())))
            position = match.end()
        return [*tokens, _Token("end", "", end)]

    def take(self, kind: str, value: str | None = None) -> _Token:
        token = self.tokens[self.at]
        if token.kind != kind or (value is not None and token.value != value):
            wanted = {"end": "the end"}.get(kind, repr(value) if value else f"a {kind}")
            raise self.fail(token.position, f"expected {wanted}, got {_shown(token)}.")
        self.at += 1
        return token

    def sees(self, value: str) -> bool:
        token = self.tokens[self.at]
        return token.kind in {"mark", "name"} and token.value == value

    def genotype(self) -> dict[str, Any]:
        name = self.take("name")
        if self.sees("="):  # a line copied from a list of genotypes: NAME = Genotype(…)
            self.take("mark", "=")
            name = self.take("name")
        if name.value != "Genotype":
            raise self.fail(name.position, f"expected 'Genotype', got {name.value!r}.")
        self.take("mark", "(")
        fields: dict[str, Any] = {}
        while not self.sees(")"):
            field = self.take("name")
            if field.value not in FIELDS:
                raise self.fail(field.position, f"no field {field.value!r}.{suggest(field.value, FIELDS)}")
            if field.value in fields:
                raise self.fail(field.position, f"field {field.value!r} is given twice.")
            self.take("mark", "=")
            fields[field.value] = self.value(1)
            if not self.sees(")"):
                self.take("mark", ",")
        closing = self.take("mark", ")")
        self.take("end")
        if missing := [field for field in FIELDS if field not in fields]:
            raise self.fail(closing.position, f"{' and '.join(map(repr, missing))} missing.")
        return fields

    def value(self, depth: int) -> Any:
        token = self.tokens[self.at]
        if depth > DEEPEST:
            raise self.fail(token.position, "brackets are nested too deeply.")
        if token.kind == "number":
            return int(self.take("number").value)
        if token.kind == "text":
            return self.take("text").value
        if self.sees("range"):
            self.take("name")
            bounds = self.items("(", ")", depth)
            if not 1 <= len(bounds) <= 2 or not all(isinstance(b, int) and abs(b) < 100 for b in bounds):
                raise self.fail(token.position, "range takes one or two small numbers.")
            return list(range(*bounds))
        if self.sees("["):
            return self.items("[", "]", depth)
        if self.sees("("):
            return self.items("(", ")", depth)
        raise self.fail(token.position, f"expected a list, pair, text or number, got {_shown(token)}.")

    def items(self, opening: str, closing: str, depth: int) -> list[Any]:
        self.take("mark", opening)
        items = []
        while not self.sees(closing):
            items.append(self.value(depth + 1))
            if not self.sees(closing):
                self.take("mark", ",")
        self.take("mark", closing)
        return items


def parse_genotype(text: str, operations: Sequence[str]) -> Genotype:
    """Read ``Genotype(normal=[…], normal_concat=…, reduce=[…], reduce_concat=…)``.

    Cells are lists of eight pairs (DARTS, PC-DARTS) or four lists of two pairs (CDARTS); the concatenation is
    ``range(2, 6)`` or a list. A leading ``NAME =`` is allowed.

    Args:
        text: The genotype.
        operations: Names that pairs may use.

    Raises:
        ArchError: Names the character or the pair that is wrong.
    """
    fields = _GenotypeReader(text).genotype()
    for name in ("normal_concat", "reduce_concat"):
        if sorted(c for c in _as_list(fields[name]) if isinstance(c, int)) != CONCAT:
            raise ArchError(
                f"genotype, {name}: this space concatenates all nodes, [2, 3, 4, 5], got {fields[name]!r}."
            )
    return Genotype(*(_pairs(name, fields[name], operations) for name in ("normal", "reduce")))


def parse_stages(text: str, operations: Sequence[str]) -> Genotype:
    """Read the CDARTS file format: a JSON object of one genotype per stage, which must all be equal.

    Args:
        text: ``{"0": "Genotype(…)", "1": …, "2": …}``.
        operations: Names that pairs may use.

    Raises:
        ArchError: A stage cannot be read, or two stages differ.
    """
    stages = json.loads(text)
    read = {}
    for stage, genotype in stages.items():
        if not isinstance(genotype, str):
            raise ArchError(f"genotype, stage {stage!r}: expected the text of a genotype, got {genotype!r}.")
        try:
            read[stage] = parse_genotype(genotype, operations)
        except ArchError as error:
            raise ArchError(f"stage {stage!r}: {error}") from None
    first, *others = read
    for stage in others:
        if _unordered(read[stage]) != _unordered(read[first]):
            raise ArchError(
                f"genotype: stages {first!r} and {stage!r} differ. This space uses one pair of cells in all "
                "stages: give one genotype."
            )
    return read[first]


def write_genotype(genotype: Genotype) -> str:
    """Write the flat DARTS form, which `parse_genotype` reads back."""
    normal, reduce = (f"[{', '.join(f'({op!r}, {source})' for op, source in cell)}]" for cell in genotype)
    return f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, reduce_concat=range(2, 6))"


def _pairs(cell: str, value: Any, operations: Sequence[str]) -> tuple[Pair, ...]:
    """Return the eight checked pairs of a cell, flat or nested."""
    items = _as_list(value)
    if len(items) == NODES and all(isinstance(i, list) and len(i) == 2 for i in items):
        items = [pair for node in items for pair in node]
    if len(items) != 2 * NODES:
        raise ArchError(
            f"genotype, {cell}: expected 8 pairs, or 4 nodes of 2 pairs, got {len(items)} item(s): {value!r}."
        )
    pairs: list[Pair] = []
    for index, item in enumerate(items):
        where = f"genotype, {cell}, pair {index + 1} {_quote(item)}"
        node = index // 2
        if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)):
            raise ArchError(f"{where}: expected an operation and an input, such as ('skip_connect', 0).")
        operation, source = item
        if operation not in operations:
            raise ArchError(f"{where}: no operation {operation!r}.{suggest(operation, operations)}")
        if not (isinstance(source, int) and 0 <= source < node + 2):
            raise ArchError(f"{where}: node {node} takes inputs 0 to {node + 1}, got {source!r}.")
        if index % 2 and pairs[-1][1] == source:
            raise ArchError(f"{where}: node {node} already takes input {source}. Its two inputs differ.")
        pairs.append((operation, source))
    return tuple(pairs)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _quote(item: Any) -> str:
    return f"({', '.join(map(repr, item))})" if isinstance(item, list) else repr(item)


def _unordered(genotype: Genotype) -> list[list[Pair]]:
    return [sorted(cell[n : n + 2]) for cell in genotype for n in range(0, len(cell), 2)]
