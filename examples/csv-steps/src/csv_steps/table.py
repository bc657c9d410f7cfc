"""A CSV file whose columns become known while it is written."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Table"]


class Table:
    """Rows in a CSV file; a new name becomes a new column.

    Args:
        path: The file; it is continued if it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        if path.exists():
            self.columns, _ = self._read()

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row at the end.

        Args:
            row: Values by name of their column.
        """
        if new := [name for name in row if name not in self.columns]:
            self._widen(new)
        with self.path.open("a", newline="", encoding="utf8") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(row)

    def _widen(self, new: list[str]) -> None:
        rows = self._read()[1] if self.path.exists() else []
        self.columns += new
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(rows)

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        with self.path.open(newline="", encoding="utf8") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or ()), list(reader)
