"""A CSV file whose rows can be replaced, and whose columns can grow."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nasforge.files import write_text

__all__ = ["CsvFile"]

Row = dict[str, str]


class CsvFile:
    """A CSV file. It is read once, appended to, and written anew where rows or columns change.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows, self._columns = _read(path)

    def forget(self, refuse: Callable[[Row], bool]) -> None:
        """Drop the rows that ``refuse`` accepts."""
        kept = [row for row in self._rows if not refuse(row)]
        if len(kept) < len(self._rows):
            self._rows = kept
            self._write()

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a row at the end.

        Args:
            values: By column; those that are new come last.
        """
        row = {name: "" if value is None else str(value) for name, value in values.items()}
        self._rows.append(row)
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if new or not self._path.exists():
            self._write()
            return
        with self._path.open("a", encoding="utf8", newline="") as file:
            file.write(self._text([row]))

    def _write(self) -> None:
        write_text(
            self._path, self._text([dict(zip(self._columns, self._columns, strict=True)), *self._rows])
        )

    def _text(self, rows: list[Row]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, restval="", lineterminator="\n").writerows(rows)
        return text.getvalue()


def _read(path: Path) -> tuple[list[Row], list[str]]:
    """Return rows and columns; a last line that a crash cut short is left out."""
    if not path.exists():
        return [], []
    text = path.read_text(encoding="utf8")
    whole = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole))
    rows = [row for row in reader if None not in row and None not in row.values()]
    return rows, list(reader.fieldnames or [])
