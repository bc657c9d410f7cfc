"""A file of JSON rows that is read as if no crash had happened."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.errors import unreadable
from nasforge.files import open_own, write_text
from nasforge.rows import parse_row

if TYPE_CHECKING:
    from nasforge.runtime.shards import Shards

__all__ = ["MetricsLog"]


class MetricsLog:
    """``metrics.jsonl``: one JSON object per line, with ``stage`` and ``step``.

    A step that is repeated after a crash forgets its row first, so the file reads as if nothing had happened.

    Args:
        path: The file.
        shards: The processes of the run, of which rank 0 alone writes; None for one process.
    """

    def __init__(self, path: Path, shards: Shards | None = None) -> None:
        self.path, self._shards = path, shards

    @property
    def _writes(self) -> bool:
        return self._shards is None or self._shards.is_main

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows; a last line that a crash cut short is left out, any other with a warning.

        Raises:
            CheckpointError: The file cannot be read.
        """
        return [row for _, row in self._read()]

    def forget(self, keep: Callable[[Mapping[str, Any]], bool]) -> None:
        """Drop the rows that ``keep`` refuses."""
        if not self._writes:
            return
        kept, dropped = [], False  # lines, not rows: a long search has many
        for line, row in self._read():
            if _kept(keep, row):
                kept.append(line.rstrip(b"\n").decode("utf8", "replace") + "\n")
            else:
                dropped = True
        if dropped or not self._ends_well():
            write_text(self.path, "".join(kept))

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row at the end."""
        if not self._writes:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open_own(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")

    def _read(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield the lines that hold a row, and the rows."""
        if not self.path.exists():
            return
        try:
            with open_own(self.path, "rb") as file:
                for number, line in enumerate(file, start=1):
                    row = _row(line)
                    if row is not None:
                        yield line, row
                    elif line.endswith(b"\n"):
                        warnings.warn(f"{self.path}: line {number} is damaged and is left out.", stacklevel=4)
        except OSError as error:
            raise unreadable(self.path, error) from None

    def _ends_well(self) -> bool:
        if not self.path.exists():
            return True
        with open_own(self.path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return file.read(1) in (b"", b"\n")


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = parse_row(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _kept(keep: Callable[[Mapping[str, Any]], bool], row: Mapping[str, Any]) -> bool:
    try:
        return keep(row)
    except (KeyError, TypeError):  # a row without a step is not of the code that asks
        return False
