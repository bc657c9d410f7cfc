"""Operations of an edge: one set for all edges, or a set for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasforge.errors import suggest
from nasforge_plugins.spaces.darts.names import EDGES

__all__ = ["KEPT", "NAMED", "OPERATIONS", "PARAMETER_FREE", "check_operations", "edge_operations", "kept"]

KEPT = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The seven operations of DARTS that an architecture may choose."""

OPERATIONS = (*KEPT, "none")
"""The eight candidates of an edge, in the order of CDARTS."""

KNOWN = (*OPERATIONS, "noise")

PARAMETER_FREE = frozenset({"max_pool_3x3", "avg_pool_3x3", "skip_connect", "noise"})

_SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def _edges(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_SHORT[name] for name in edge.split("+")) for edge in text.split())


NAMED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "s1": _edges(
        "skip+dil3 skip+dil5  skip+dil5 skip+sep3 skip+dil3  max+skip skip+sep3 skip+sep3 skip+dil3 "
        "skip+sep3 max+skip skip+dil3 dil3+dil5 dil3+dil5 "
        "max+avg max+dil3  max+avg max+avg skip+dil5  max+avg max+sep3 skip+dil3 skip+dil5 "
        "max+avg max+avg skip+dil5 skip+dil5 skip+dil5"
    ),
    "s2": (("skip_connect", "sep_conv_3x3"),) * len(EDGES),
    "s3": (("none", "skip_connect", "sep_conv_3x3"),) * len(EDGES),
    "s4": (("noise", "sep_conv_3x3"),) * len(EDGES),
}
"""Spaces of Zela et al. (ICLR 2020, section 3): automl/RobustDARTS, src/spaces.py."""


def kept(operations: Sequence[str]) -> tuple[str, ...]:
    """Return the operations that an architecture may choose: all but ``none``."""
    return tuple(name for name in operations if name != "none")


def edge_operations(operations: Any, allow_none: bool) -> dict[str, tuple[str, ...]]:
    """Return the operations of every edge by the name of its choice.

    Args:
        operations: Checked by `check_operations`.
        allow_none: Whether ``"darts"`` has the operation ``none``.
    """
    if operations == "darts":
        operations = OPERATIONS if allow_none else KEPT
    elif isinstance(operations, str):
        operations = NAMED[operations]
    if isinstance(operations[0], str):
        operations = (operations,) * len(EDGES)
    if len(operations) < len(EDGES):
        operations = (*operations, *operations)
    return dict(zip(EDGES, operations, strict=True))


def check_operations(value: Any) -> Any:
    """Return the option ``operations`` with tuples for lists.

    Args:
        value: The name of a set, a list of operations, or a list of such lists.

    Raises:
        ValueError: Says what is wrong, and of which edge.
    """
    if isinstance(value, str):
        sets = ("darts", *NAMED)
        if value not in sets:
            raise ValueError(f"no set of operations {value!r}.{suggest(value, sets)}")
        return value
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(
            f"must be the name of a set, a list of operations, or a list for each edge.{suggest('', NAMED)}"
        )
    if not any(isinstance(item, list | tuple) for item in value):
        return _check_edge(value, "")
    half = len(EDGES) // 2
    if len(value) not in (half, len(EDGES)):
        raise ValueError(
            f"has lists for {len(value)} edges. Write {half} lists (both cells alike) or {len(EDGES)} (the "
            f"{half} edges of the normal cell, then those of the reduction cell)"
        )
    return tuple(
        _check_edge(item, f"edge {number} ({EDGES[number - 1]}): ") for number, item in enumerate(value, 1)
    )


def _check_edge(names: Any, where: str) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{where}must be a list of names such as {list(KEPT[2:4])}")
    for name in names:
        if name not in KNOWN:
            raise ValueError(f"{where}no operation {name!r}.{suggest(name, KNOWN)}")
        if names.count(name) > 1:
            raise ValueError(f"{where}{name!r} is listed twice. Remove one")
    if len(names) < 2 or not kept(names):
        raise ValueError(
            f"{where}has too few operations: {list(names)}. List at least two, one of them not 'none'."
            f"{suggest('', KNOWN)}"
        )
    return tuple(names)
