"""Names in the DARTS space: cells, sources of nodes, choices."""

from __future__ import annotations

__all__ = ["CELLS", "EDGES", "NODES", "edge_name", "inputs_name", "sources"]

NODES = 4
"""Nodes of a cell."""

CELLS = ("normal", "reduce")


def sources(node: int) -> tuple[str, ...]:
    """Return the names of the states that a node may take: both cell inputs and the nodes before it."""
    return ("in0", "in1", *(f"node{n}" for n in range(node)))


def inputs_name(cell: str, node: int) -> str:
    """Return the name of the choice of a node's inputs."""
    return f"{cell}/node{node}/inputs"


def edge_name(cell: str, node: int, source: str) -> str:
    """Return the name of the choice of the operation between ``source`` and a node."""
    return f"{cell}/node{node}/{source}"


EDGES = tuple(
    edge_name(cell, node, source) for cell in CELLS for node in range(NODES) for source in sources(node)
)
"""The edges of the normal cell, then those of the reduction cell: 14 each, by node and source."""
