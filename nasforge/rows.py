"""Rows of JSON, one per line, of files that grow with a search, and the lists that they hold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from json import JSONDecoder
from pathlib import Path
from typing import Any, overload

__all__ = ["AppendOnly", "Mark", "parse_row"]


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


@dataclass
class Mark:
    """How much of a list a file holds.

    Attributes:
        rows: Number of items.
        size: Their bytes.
        digest: A running SHA-256 of these bytes, as `hashlib.sha256` returns it.
    """

    rows: int
    size: int
    digest: Any


@dataclass(eq=False)
class AppendOnly(Sequence[Any]):
    """The JSON data of a list that only grows; it may stand anywhere in the result of ``state_dict``.

    A checkpoint appends the new items to a file beside it, ``<checkpoint>~<place>.jsonl``, and keeps their
    number. `nasforge.runtime.checkpoint.load` returns the items that were there when it was saved.

    Args:
        items: The list. Append to it, and change it in no other way.
        encode: Turns an item into JSON data.
        length: How many of the items count; None for all there are now or will be.
        marks: How much of the list each file holds. Shared by all views of one list.
    """

    items: Sequence[Any]
    encode: Callable[[Any], Any] = lambda item: item
    length: int | None = None
    marks: dict[Path, Mark] = field(default_factory=dict)

    def snapshot(self) -> AppendOnly:
        """Return a view of the items there are now, for ``state_dict``."""
        return AppendOnly(self.items, self.encode, len(self), self.marks)

    def __len__(self) -> int:
        return len(self.items) if self.length is None else self.length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self.encode(self.items[place]) for place in places]
        return self.encode(self.items[places])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AppendOnly | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
