"""A file of JSON rows that is read as if no crash had happened."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.errors import CheckpointError
from nasforge.files import open_own, write_text

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
        if not self.path.exists():
            return []
        try:
            with open_own(self.path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read ({error.strerror}).") from None
        lines = content.splitlines(keepends=True)
        rows = []
        for number, line in enumerate(lines, start=1):
            row = _row(line)
            if row is not None:
                rows.append(row)
            elif number < len(lines) or line.endswith(b"\n"):
                warnings.warn(f"{self.path}: line {number} is damaged and is left out.", stacklevel=3)
        return rows

    def forget(self, keep: Callable[[Mapping[str, Any]], bool]) -> None:
        """Drop the rows that ``keep`` refuses."""
        if not self._writes:
            return
        rows = self.rows()
        kept = [row for row in rows if _kept(keep, row)]
        if len(kept) < len(rows) or not self._ends_well():
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row at the end."""
        if not self._writes:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open_own(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")

    def _ends_well(self) -> bool:
        return not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _kept(keep: Callable[[Mapping[str, Any]], bool], row: Mapping[str, Any]) -> bool:
    try:
        return keep(row)
    except (KeyError, TypeError):  # a row without a step is not of the code that asks
        return False
