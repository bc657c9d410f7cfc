"""Drawings of cells, from the graphs that a run has kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from nasforge.drawing import Graph, Node, draw

__all__ = ["Drawing", "draw_graphs", "graphs_of"]


@dataclass(frozen=True)
class Drawing:
    """A cell.

    Attributes:
        title: Its name.
        svg: The drawing.
    """

    title: str
    svg: Markup


def draw_graphs(graphs: Any, mark: str = "cell") -> list[Drawing]:
    """Draw cells that are stored as JSON data; those that cannot be read are left out.

    Args:
        graphs: A list of graphs, as in ``graphs.json``.
        mark: Beginning of names in the drawings; those of one page need different ones.
    """
    found = []
    for number, graph in enumerate(graphs_of(graphs)):
        try:
            svg = draw([graph], mark=f"{mark}-{number}-")
        except ValueError:
            continue
        found.append(Drawing(graph.title, Markup(svg)))
    return found


def graphs_of(graphs: Any) -> list[Graph]:
    """Restore graphs from JSON data; those that cannot be read are left out."""
    return [graph for one in (graphs if isinstance(graphs, list) else []) if (graph := _graph(one))]


def _graph(data: Any) -> Graph | None:
    if not isinstance(data, Mapping):
        return None
    try:
        nodes = tuple(
            Node(
                str(node["name"]),
                tuple((str(operation), str(source)) for operation, source in node["inputs"]),
                str(node.get("join", "+")),
            )
            for node in data["nodes"]
        )
        return Graph(str(data["title"]), tuple(map(str, data["inputs"])), nodes)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
