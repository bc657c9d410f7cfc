"""The published way to write an architecture: depth, ratios, heads, embedding dimension in one row."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nasforge.errors import ArchError

__all__ = ["PUBLISHED", "read_row", "write_row"]

PUBLISHED = {
    "AutoFormer-T": (
        "(13, 3.5, 3.5, 3, 3.5, 3, 3, 4, 4, 3.5, 4, 3.5, 4, 3.5, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 192)"
    ),
    "AutoFormer-S": (
        "(13, 3, 3.5, 3, 3.5, 4, 4, 4, 4, 4, 4, 4, 3.5, 4, 6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7, 384)"
    ),
    "AutoFormer-B": (
        "(14, 3.5, 3.5, 4, 3.5, 4, 3.5, 3.5, 3, 4, 4, 3, 4, 3, 3.5, "
        "9, 9, 9, 9, 9, 10, 9, 9, 10, 9, 10, 9, 9, 10, 576)"
    ),
}
"""The released networks, from ``experiments/subnet`` of microsoft/Cream, folder ``AutoFormer``."""

NUMBER = re.compile(r"\d+(\.\d+)?")


def read_row(text: str) -> tuple[str, list[str], list[str], str]:
    """Read ``(depth, ratios…, heads…, embedding dimension)``, the rows of the published search.

    Args:
        text: The row.

    Returns:
        Depth, ratios, heads and embedding dimension, as names of options.

    Raises:
        ArchError: It is not such a row.
    """
    words = [word.strip() for word in text.strip().removeprefix("(").removesuffix(")").split(",")]
    if wrong := next((word for word in words if not NUMBER.fullmatch(word)), None):
        raise ArchError(
            f"{text!r}: {wrong!r} is not a number. Write (depth, ratios…, heads…, embedding dimension)."
        )
    names = [f"{float(word):g}" for word in words if word]
    depth = int(float(names[0])) if names else 0
    if len(names) != 2 * depth + 2:
        raise ArchError(
            f"{text!r}: {len(names)} numbers. A row of depth {depth} has {2 * depth + 2}: the depth, a ratio "
            "and a number of heads for each block, and the embedding dimension."
        )
    return names[0], names[1 : depth + 1], names[depth + 1 : -1], names[-1]


def write_row(depth: str, ratios: Sequence[str], heads: Sequence[str], embed_dim: str) -> str:
    """Write what `read_row` reads."""
    return f"({', '.join([depth, *ratios, *heads, embed_dim])})"
