"""Names in the DARTS space: cells, operations, sources of nodes, choices."""

from __future__ import annotations

__all__ = ["CELLS", "KEPT", "NODES", "OPERATIONS", "edge_name", "inputs_name", "sources"]

NODES = 4
"""Nodes of a cell."""

CELLS = ("normal", "reduce")

OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "none",
)
"""The candidates of an edge, in the order of CDARTS."""

KEPT = OPERATIONS[:-1]
"""The operations that an architecture may choose."""


def sources(node: int) -> tuple[str, ...]:
    """Return the names of the states that a node may take: both cell inputs and the nodes before it."""
    return ("in0", "in1", *(f"node{n}" for n in range(node)))


def inputs_name(cell: str, node: int) -> str:
    """Return the name of the choice of a node's two inputs."""
    return f"{cell}/node{node}/inputs"


def edge_name(cell: str, node: int, source: str) -> str:
    """Return the name of the choice of the operation between ``source`` and a node."""
    return f"{cell}/node{node}/{source}"
