"""Numbers and problems that are collected while a table is read."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

import numpy as np

from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.table import Array

__all__ = ["MAX_PROBLEMS", "Problems", "Values", "read_number"]

MAX_PROBLEMS = 10
"""Problems that an error lists; it counts the others."""


class Problems:
    """Collect the problems of a file, to report them at once.

    Args:
        path: The file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listed: list[str] = []
        self.count = 0

    def note(self, text: str) -> None:
        """Add a problem."""
        self.count += 1
        if self.count <= MAX_PROBLEMS:
            self._listed.append(text)

    def stop(self) -> None:
        """End the import if anything is wrong.

        Raises:
            TableError: Lists the first problems and counts the others.
        """
        if not self.count:
            return
        lines = [f"  - {text}" for text in self._listed]
        if more := self.count - len(lines):
            lines.append(f"  - and {more:,} more problems.")
        raise TableError("\n".join([f"{self._path}: nothing was imported.", *lines]))


class Values:
    """Values by row, column and training seed, in the order in which they come.

    Columns have names as in `Table`. A value that is not known is not-a-number.
    """

    def __init__(self) -> None:
        self._cells: dict[tuple[str, int | None], tuple[array[float], list[str]]] = {}

    def put(self, row: int, target: str, seed: int | None, value: float, name: str, place: str) -> None:
        """Store a value.

        Args:
            row: Its row.
            target: Its column in the table.
            seed: The training seed; None if there are none.
            value: The number.
            name: Its column in the file, for messages.
            place: Its row in the file, for messages.

        Raises:
            ValueError: There is another value in its place.
        """
        values, places = self._cells.setdefault((target, seed), (array("d"), []))
        if (missing := row + 1 - len(values)) > 0:
            values.extend([math.nan] * missing)
            places.extend([""] * missing)
        known = values[row]
        if math.isnan(value):
            return
        if not math.isnan(known) and known != value:
            training, otherwise = "architecture", "name the column of their seeds with --seed-column"
            if seed is not None:
                training, otherwise = f"architecture and seed {seed}", "give each a seed of its own"
            raise ValueError(
                f"column {name!r}: {value:g} disagrees with {known:g} in {places[row]}, for the same "
                f"{training}. Keep one of the rows; if they are several trainings, {otherwise}."
            )
        values[row], places[row] = value, place

    @property
    def seeds(self) -> list[int]:
        """The training seeds, ascending."""
        return sorted({seed for _, seed in self._cells if seed is not None})

    def columns(self, rows: int) -> dict[str, Array]:
        """Return the columns: ``(rows,)``, or ``(rows, seeds)`` where values have seeds."""
        seeds, found = self.seeds, {}
        for (target, seed), (values, _) in self._cells.items():
            full = np.full(rows, np.nan)
            full[: len(values)] = values
            if seed is None:
                found[target] = full
            else:
                runs = found.setdefault(target, np.full((rows, len(seeds)), np.nan))
                runs[:, seeds.index(seed)] = full
        return found


def read_number(
    name: str,
    text: str,
    *,
    missing: Collection[str] = (),
    low: float = -math.inf,
    high: float = math.inf,
    advice: str = "",
) -> float:
    """Read a finite number; not-a-number stands for a missing one.

    Args:
        name: Column of the number, for messages.
        text: The cell.
        missing: Texts that mean that there is no value. Numbers among them are compared as numbers.
        low: The smallest number allowed.
        high: The largest number allowed.
        advice: Advice about other numbers, for messages.

    Raises:
        ValueError: It is not a number, or out of range.
    """
    if text in missing:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"column {name!r}: {text!r} is not a number.{advice}") from None
    if missing and value in _numbers(frozenset(missing)):
        return math.nan
    if not low <= value <= high or not math.isfinite(value):
        limits = (
            f"from {low:g} to {high:g}"
            if math.isfinite(high)
            else "a finite number"
            if math.isinf(low)
            else f"{low:g} or more"
        )
        raise ValueError(f"column {name!r}: {text} is not in range ({limits}).{advice}")
    return value


@lru_cache(maxsize=64)
def _numbers(texts: frozenset[str]) -> list[float]:
    found = []
    for text in texts:
        try:
            found.append(float(text))
        except ValueError:
            continue
    return found
