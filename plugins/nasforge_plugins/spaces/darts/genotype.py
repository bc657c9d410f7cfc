"""Genotype text of the DARTS family: read by a parser, never evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nasforge.errors import ArchError, suggest
from nasforge_plugins.spaces.darts.names import CELLS, NODES, edge_name, sources
from nasforge_plugins.spaces.darts.node_rules import RULES, Node, NodeRule, Pair
from nasforge_plugins.spaces.darts.operation_sets import kept

__all__ = ["Genotype", "Grammar", "check_node", "parse_genotype", "parse_stages", "write_genotype"]

CONCAT = [2, 3, 4, 5]
FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
TOKEN = re.compile(r"\s*(?:([A-Za-z_]\w*)|(-?\d{1,9})|'([^'\\\n]*)'|\"([^\"\\\n]*)\"|([()\[\],=]))")
DEEPEST = 6


class Genotype(NamedTuple):
    """The two cells: four nodes each, as pairs of operation and input, the stronger one first."""

    normal: tuple[Node, ...]
    reduce: tuple[Node, ...]


class Grammar(NamedTuple):
    """The cells that genotypes of a space may describe.

    Attributes:
        operations: By name of an edge's choice.
        rule: How many operations a node adds.
    """

    operations: Mapping[str, Sequence[str]]
    rule: NodeRule


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


def parse_genotype(text: str, grammar: Grammar) -> Genotype:
    """Read ``Genotype(normal=[…], normal_concat=…, reduce=[…], reduce_concat=…)``.

    Cells are lists of eight pairs (DARTS, PC-DARTS), four lists of pairs (CDARTS, GDAS), or triples of
    operation, node and input (FairDARTS); the concatenation is ``range(2, 6)`` or a list. A leading
    ``NAME =`` is allowed.

    Args:
        text: The genotype.
        grammar: The cells that there are.

    Raises:
        ArchError: Names the character, the pair or the node that is wrong.
    """
    fields = _GenotypeReader(text).genotype()
    for name in ("normal_concat", "reduce_concat"):
        if sorted(c for c in _as_list(fields[name]) if isinstance(c, int)) != CONCAT:
            raise ArchError(
                f"genotype, {name}: this space concatenates all nodes, [2, 3, 4, 5], got {fields[name]!r}."
            )
    return Genotype(*(_read_cell(name, fields[name], grammar) for name in CELLS))


def parse_stages(text: str, grammar: Grammar) -> Genotype:
    """Read the CDARTS file format: a JSON object of one genotype per stage, which must all be equal.

    Args:
        text: ``{"0": "Genotype(…)", "1": …, "2": …}``.
        grammar: The cells that there are.

    Raises:
        ArchError: A stage cannot be read, or two stages differ.
    """
    stages = json.loads(text)
    read = {}
    for stage, genotype in stages.items():
        if not isinstance(genotype, str):
            raise ArchError(f"genotype, stage {stage!r}: expected the text of a genotype, got {genotype!r}.")
        try:
            read[stage] = parse_genotype(genotype, grammar)
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
    """Write a genotype so that `parse_genotype` reads it back.

    Where every node adds two operations, cells have the flat form of DARTS. Else every operation has its
    node, as in FairDARTS: ``('sep_conv_3x3', 2, 0)`` is an operation of the first node on the first input.
    """
    flat = all(len(node) == 2 for cell in genotype for node in cell)
    normal, reduce = (f"[{', '.join(_write_cell(cell, flat))}]" for cell in genotype)
    return f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, reduce_concat=range(2, 6))"


def check_node(where: str, node: int, pairs: Node, rule: NodeRule) -> None:
    """Check that a node has as many operations as the rule allows.

    Raises:
        ArchError: It has not.
    """
    if not rule.allows(pairs):
        fits = [name for name, make in RULES.items() if make(0.0).allows(pairs)]
        advice = f'Write node_inputs = "{fits[0]}" in [space].' if fits else "Change the node."
        raise ArchError(
            f"{where}: node {node} adds {len(pairs)} operation(s), and takes {rule.rule}. {advice}"
        )


def _write_cell(cell: Sequence[Node], flat: bool) -> list[str]:
    if flat:
        return [f"({op!r}, {source})" for node in cell for op, source in node]
    return [f"({op!r}, {n + 2}, {source})" for n, node in enumerate(cell) for op, source in node]


def _read_cell(cell: str, value: Any, grammar: Grammar) -> tuple[Node, ...]:
    """Return the checked nodes of a cell."""
    nodes: list[list[Pair]] = [[] for _ in range(NODES)]
    for number, (node, item) in enumerate(_by_node(cell, _as_list(value)), 1):
        where = f"genotype, {cell}, pair {number} {_quote(item)}"
        if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)):
            raise ArchError(f"{where}: expected an operation and an input, such as ('skip_connect', 0).")
        operation, source = item
        names = sources(node)
        # The position of an input decides which operations there are, so it is checked first if it can be.
        read = isinstance(source, int) and 0 <= source < len(names)
        edges = [edge_name(cell, node, names[source])] if read else [*grammar.operations]
        known = {o for edge in edges for o in kept(grammar.operations[edge])}
        if operation not in known:
            raise ArchError(f"{where}: no operation {operation!r}.{suggest(operation, known)}")
        if not read:
            raise ArchError(f"{where}: node {node} takes inputs 0 to {node + 1}, got {source!r}.")
        taken = [pair for pair in nodes[node] if pair[1] == source]
        if (operation, source) in taken or len(taken) >= grammar.rule.repeats:
            rule = grammar.rule.rule
            raise ArchError(f"{where}: node {node} already takes input {source}. It takes {rule}.")
        nodes[node].append((operation, source))
    for node, pairs in enumerate(nodes):
        check_node(f"genotype, {cell}", node, tuple(pairs), grammar.rule)
    return tuple(map(tuple, nodes))


def _by_node(cell: str, items: list[Any]) -> list[tuple[int, Any]]:
    """Return node and pair of every item of a flat, nested or FairDARTS cell."""
    if all(_is_triple(item) for item in items):
        wrong = [item for item in items if item[1] not in CONCAT]
        if wrong:
            raise ArchError(
                f"genotype, {cell}, {_quote(wrong[0])}: expected operation, node and input, with a node from "
                f"2 to {NODES + 1}, got node {wrong[0][1]!r}."
            )
        return [(node - 2, [operation, source]) for operation, node, source in items]
    if len(items) == NODES and all(_is_node(item) for item in items):
        return [(node, pair) for node, pairs in enumerate(items) for pair in pairs]
    if len(items) != 2 * NODES:
        raise ArchError(
            f"genotype, {cell}: expected 8 pairs, 4 lists of pairs, or triples of operation, node and input, "
            f"got {len(items)} item(s): {items!r}."
        )
    return [(index // 2, item) for index, item in enumerate(items)]


def _is_node(item: Any) -> bool:
    return isinstance(item, list) and all(isinstance(pair, list) for pair in item)


def _is_triple(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 3 and isinstance(item[0], str) and isinstance(item[1], int)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _quote(item: Any) -> str:
    return f"({', '.join(map(repr, item))})" if isinstance(item, list) else repr(item)


def _unordered(genotype: Genotype) -> list[list[Pair]]:
    return [sorted(node) for cell in genotype for node in cell]
