"""Cells as text: the benchmark's string, six digits, and the errors of both. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge.arch import Choice
from nasforge.errors import ArchError, suggest

__all__ = ["CHOICES", "EDGES", "EXAMPLE", "NAMED", "OPERATIONS", "format_cell", "parse_cell", "parse_code"]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""In the order of the benchmark; the position is the digit of a code."""

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""Pairs (node, input) in the order in which the string names them."""

CHOICES = tuple(Choice(f"node{node}/node{source}", OPERATIONS) for node, source in EDGES)

EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"

NAMED = {
    # AutoDL-Projects, xautodl/models: the cell nearest to a residual block, index 11472.
    "resnet": "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
}
"""Cells that `NasBench201.parse` knows by name."""


def format_cell(operations: Sequence[str]) -> str:
    """Write six operations, in the order of `EDGES`, as the benchmark's string."""
    nodes: dict[int, str] = {}
    for (node, source), operation in zip(EDGES, operations, strict=True):
        nodes[node] = f"{nodes.get(node, '|')}{operation}~{source}|"
    return "+".join(nodes.values())


def parse_code(text: str) -> tuple[str, ...]:
    """Read six digits, one per edge: 0 none, 1 skip, 2 conv 1x1, 3 conv 3x3, 4 average pool.

    Raises:
        ArchError: Names the character that is wrong.
    """
    if len(text) != len(EDGES):
        raise ArchError(f"{text!r}: a code has {len(EDGES)} digits, one per edge, not {len(text)}.")
    for position, digit in enumerate(text, 1):
        if digit not in "01234":
            raise ArchError(
                f"{text!r}, character {position}: {digit!r} is not an operation. Write a digit from 0 to 4 "
                f"({', '.join(f'{i} {name}' for i, name in enumerate(OPERATIONS))})."
            )
    return tuple(OPERATIONS[int(digit)] for digit in text)


def parse_cell(text: str) -> tuple[str, ...]:
    """Read the benchmark's string ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

    Returns:
        Six operations in the order of `EDGES`.

    Raises:
        ArchError: Names the first character that is wrong and what belongs there.
    """
    reader = _CellReader(text)
    operations = []
    for node in (1, 2, 3):
        if node > 1:
            reader.expect("+", f"before the edges of node {node}")
        reader.expect("|", f"before the first edge of node {node}")
        for source in range(node):
            operations.append(reader.operation())
            reader.expect("~", f"after operation {operations[-1]!r}")
            reader.node(node, source)
            reader.expect("|", f"after edge '{operations[-1]}~{source}' of node {node}")
    reader.end()
    return tuple(operations)


class _CellReader:
    """Walks over a string and words errors with the position, counted from 1."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, problem: str, at: int | None = None) -> ArchError:
        position = (self.at if at is None else at) + 1
        return ArchError(f"{self.text!r}, character {position}: {problem} A cell reads {EXAMPLE!r}.")

    def found(self) -> str:
        return f"found {self.text[self.at]!r}" if self.at < len(self.text) else "the text ends"

    def expect(self, symbol: str, where: str) -> None:
        if self.text[self.at : self.at + 1] != symbol:
            raise self.fail(f"expected {symbol!r} {where}, but {self.found()}.")
        self.at += 1

    def word(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in "|~+":
            self.at += 1
        return self.text[start : self.at]

    def operation(self) -> str:
        start = self.at
        name = self.word()
        if not name:
            raise self.fail(f"expected an operation, but {self.found()}.{suggest('', OPERATIONS)}")
        if name not in OPERATIONS:
            raise self.fail(f"no operation {name!r}.{suggest(name, OPERATIONS)}", start)
        return name

    def node(self, node: int, source: int) -> None:
        start = self.at
        index = self.word()
        if index != str(source):
            wrong = f"got {index!r}" if index else self.found()
            raise self.fail(
                f"edge {source + 1} of node {node} comes from node {source}: expected '{source}', {wrong}.",
                start,
            )

    def end(self) -> None:
        if self.at < len(self.text):
            raise self.fail(f"nothing may follow the last edge, but {self.found()}.")
