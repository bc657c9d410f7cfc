"""Rows of JSON, one per line, of files that grow with a search."""

from __future__ import annotations

import sys
from json import JSONDecoder
from typing import Any

__all__ = ["parse_row"]


def _sharing(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names and texts are shared with other rows that have them too."""
    return {sys.intern(name): sys.intern(value) if type(value) is str else value for name, value in pairs}


_DECODER = JSONDecoder(object_pairs_hook=_sharing)


def parse_row(line: bytes) -> Any:
    """Return the JSON data of a line; equal names and texts take memory once, however many rows have them.

    Args:
        line: With or without its newline. Bytes that are not UTF-8 are replaced.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deep.
    """
    return _DECODER.decode(line.decode("utf8", "replace"))
