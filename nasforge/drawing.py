"""Architectures as pictures: SVG written by hand, the same text for the same cell. Torch-free.

A cell is drawn as a wiring diagram. Every node has a wire that runs down, and operations hang on the wires
they read: nothing overlaps, however a cell is connected, and it is narrow enough for a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Canvas", "Graph", "Node", "draw", "draw_text"]

FONT = "system-ui, sans-serif"
SIZE = 13
INK, WIRE, PAPER = "#1a1a2e", "#555555", "#ffffff"
FAMILIES = {"conv": "#e8eaf6", "pool": "#e8f5e9", "skip": "#fff8e1", "none": "#eeeeee"}
"""Colours of operations, by a word in their name; others have that of a convolution."""

LANE, ROW, BOX, PADDING = 32, 34, 24, 14


@dataclass(frozen=True)
class Node:
    """Something that is computed from earlier nodes.

    Attributes:
        name: Written at the start of its wire.
        inputs: Pairs of operation and name of the node it reads. An empty operation is a plain wire.
        join: How the inputs become one, such as ``"+"``; not drawn for a single input.
    """

    name: str
    inputs: tuple[tuple[str, str], ...]
    join: str = "+"


@dataclass(frozen=True)
class Graph:
    """A cell, or a whole network of few operations.

    Attributes:
        title: Written above.
        inputs: Names of what comes from outside.
        nodes: The computed nodes in topological order. The last one is the result.
    """

    title: str
    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]


def draw_text(graphs: Sequence[Graph], width: int = 100) -> str:
    """Write cells as equations for a terminal: ``node = operation(input) + operation(input)``.

    Args:
        graphs: The cells.
        width: Columns at which an equation is broken, between its terms.

    Returns:
        Lines of text, with an empty line between cells; empty without a cell.
    """
    blocks = []
    for graph in graphs:
        longest = max((len(node.name) for node in graph.nodes), default=0)
        lines = [graph.title]
        for node in graph.nodes:
            terms = [f"{operation}({source})" if operation else source for operation, source in node.inputs]
            if node.join == "+" or len(terms) == 1:
                lines += _equation(f"  {node.name:<{longest}} = ", terms, " + ", width)
            else:
                start = f"  {node.name:<{longest}} = {node.join}("
                lines += _equation(start, [*terms[:-1], f"{terms[-1]})"], ", ", width)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _equation(start: str, terms: Sequence[str], between: str, width: int) -> list[str]:
    lines, line = [], start + terms[0]
    for term in terms[1:]:
        if len(line) + len(between) + len(term) > width:
            lines.append((line + between).rstrip())
            line = " " * len(start) + term
        else:
            line += between + term
    return [*lines, line]


@dataclass
class Canvas:
    """Shapes of an SVG picture, in the order in which they cover each other.

    Attributes:
        width: In pixels.
        height: In pixels.
        title: Read aloud where the picture cannot be seen.
        mark: Beginning of the names of arrow heads; pictures in one HTML page need different ones.
        shapes: The elements so far.
    """

    width: float
    height: float
    title: str
    mark: str = ""
    shapes: list[str] = field(default_factory=list)

    def box(
        self, x: float, y: float, width: float, height: float, fill: str, *, stroke: str = "#3f51b5"
    ) -> None:
        """Draw a box with round corners; ``x``, ``y`` are its upper left."""
        size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self.shapes.append(f'<rect {size} rx="6" fill="{fill}" stroke="{stroke}"/>')

    def text(
        self, x: float, y: float, text: str, *, size: int = SIZE, bold: bool = False, anchor: str = "middle"
    ) -> None:
        """Write a line of text; ``y`` is the middle of its small letters."""
        weight = ' font-weight="600"' if bold else ""
        place = f'x="{x:g}" y="{y + size * 0.35:g}" font-size="{size}" text-anchor="{anchor}"'
        self.shapes.append(f"<text {place}{weight}>{escape(text)}</text>")

    def line(
        self, path: str, *, arrow: str = "", dashed: bool = False, stroke: str = WIRE, width: float = 1.5
    ) -> None:
        """Draw a line along an SVG path; ``arrow`` is "end", "both" or empty."""
        end = f' marker-end="url(#{self.mark}to)"'
        ends = {"end": end, "both": f' marker-start="url(#{self.mark}from)"{end}'}
        style = f'stroke="{stroke}" stroke-width="{width:g}"' + (' stroke-dasharray="5 4"' if dashed else "")
        self.shapes.append(f'<path d="{path}" {style}{ends.get(arrow, "")}/>')

    def dot(self, x: float, y: float, radius: float = 3.5, fill: str = WIRE) -> None:
        """Draw a filled circle around ``x``, ``y``."""
        self.shapes.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}"/>')

    def svg(self) -> str:
        """Return the picture, on white paper."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" role="img" font-family="{FONT}" fill="none">'
        )
        tip = '<path d="M0 0L10 5L0 10z" fill="#555555"/></marker>'
        size = 'viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
        marks = (
            f'<defs><marker id="{self.mark}to" {size} orient="auto">{tip}'
            f'<marker id="{self.mark}from" {size} orient="auto-start-reverse">{tip}</defs>'
        )
        paper = f'<rect width="{self.width:g}" height="{self.height:g}" rx="8" fill="{PAPER}"/>'
        shapes = [s.replace("<text ", f'<text fill="{INK}" ') for s in self.shapes]
        return "\n".join([head, f"<title>{escape(self.title)}</title>", marks, paper, *shapes, "</svg>\n"])


def draw(graphs: Sequence[Graph], mark: str = "") -> str:
    """Draw cells below each other.

    Args:
        graphs: At least one.
        mark: See `Canvas`.

    Returns:
        The text of an SVG file.

    Raises:
        ValueError: A node reads what is not there, or there is nothing to draw.
    """
    if not graphs:
        raise ValueError("there is nothing to draw")
    parts = [_Wiring(graph) for graph in graphs]
    canvas = Canvas(
        max(part.width for part in parts),
        sum(part.height for part in parts),
        ", ".join(graph.title for graph in graphs),
        mark,
    )
    top = 0.0
    for part in parts:
        part.draw(canvas, top)
        top += part.height
    return canvas.svg()


class _Wiring:
    """Where everything of one cell is: a lane for each wire that is in use, a row for each operation."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        names = [*graph.inputs, *(node.name for node in graph.nodes)]
        self.row_of: dict[str, float] = dict.fromkeys(graph.inputs, 0.0)
        self.last: dict[str, float] = {}
        row = 1.0
        for node in graph.nodes:
            if not node.inputs:
                raise ValueError(f"node {node.name!r} has no inputs")
            for _, source in node.inputs:
                if source not in self.row_of:
                    raise ValueError(f"node {node.name!r} reads {source!r}, which is not there before it")
                self.last[source] = row
                row += 1
            self.row_of[node.name] = row
            row += 1
        self.lane = self._lanes(names)
        self.left = PADDING + 12 + LANE * len(set(self.lane.values()))
        longest = max((len(operation) for node in graph.nodes for operation, _ in node.inputs), default=0)
        self.box = max(70.0, 7.4 * longest + 14)
        self.width = max(self.left + self.box + 56 + PADDING, 8.5 * len(graph.title) + 2 * PADDING)
        self.height = 2 * PADDING + 22 + ROW * row

    def _lanes(self, names: Sequence[str]) -> dict[str, int]:
        """Give every wire the leftmost lane that is free from its first row to its last."""
        lanes: dict[str, int] = {}
        for name in names:
            taken = {
                lane
                for other, lane in lanes.items()
                if self.last.get(other, self.row_of[other]) >= self.row_of[name]
                or self.row_of[other] == self.row_of[name]
            }
            lanes[name] = next(i for i in range(len(names)) if i not in taken)
        return lanes

    def draw(self, canvas: Canvas, top: float) -> None:
        """Draw the cell below ``top``."""
        self.top = top + PADDING + 22 + ROW / 2
        canvas.text(PADDING, top + PADDING + 6, self.graph.title, bold=True, anchor="start")
        for name, row in self.row_of.items():  # wires first: the rest covers them
            if name in self.last:
                canvas.line(f"M{self.x(name):g} {self.y(row):g}V{self.y(self.last[name]):g}")
        for node in self.graph.nodes:
            self._node(canvas, node)
        for name in self.graph.inputs:
            self._name(canvas, name)

    def x(self, name: str) -> float:
        return PADDING + 16 + LANE * self.lane[name]

    def y(self, row: float) -> float:
        return self.top + ROW * row

    def _node(self, canvas: Canvas, node: Node) -> None:
        end = self.row_of[node.name]
        right = self.left + self.box + 24
        for row, (operation, source) in enumerate(node.inputs, int(end) - len(node.inputs)):
            y = self.y(row)
            canvas.dot(self.x(source), y)
            # A paper-coloured line below it lets the wires it crosses pass underneath.
            canvas.line(f"M{self.x(source) + 6:g} {y:g}H{self.left:g}", stroke=PAPER, width=6)
            canvas.line(f"M{self.x(source):g} {y:g}H{right:g}V{self.y(end):g}")
            if operation:
                colour = next((c for word, c in FAMILIES.items() if word in operation), FAMILIES["conv"])
                canvas.box(self.left, y - BOX / 2, self.box, BOX, colour)
                canvas.text(self.left + self.box / 2, y, operation)
        y = self.y(end)
        canvas.line(f"M{right:g} {y:g}H{self.x(node.name) - 8 + _width(node.name):g}", arrow="end")
        if len(node.inputs) > 1:
            wide = max(22.0, 7.4 * len(node.join) + 12)
            canvas.box(right - wide / 2, y - 11, wide, 22, PAPER, stroke=WIRE)
            canvas.text(right, y, node.join)
        self._name(canvas, node.name)

    def _name(self, canvas: Canvas, name: str) -> None:
        x, y = self.x(name), self.y(self.row_of[name])
        canvas.box(x - 11, y - 11, _width(name), 22, "#c5cae9")
        canvas.text(x - 11 + _width(name) / 2, y, name, size=12, bold=True)


def _width(name: str) -> float:
    return max(22.0, 7.4 * len(name) + 6)
