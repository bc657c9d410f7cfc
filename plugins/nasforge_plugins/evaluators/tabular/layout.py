"""Read a table of any space: the user names the columns, the space parses the architectures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nasforge.arch import Choice
from nasforge.errors import ArchError, suggest
from nasforge.tables import TableLayout
from nasforge_plugins.evaluators.tabular.collecting import Problems, Values, read_number
from nasforge_plugins.evaluators.tabular.columns import NO_DATASET, name_column
from nasforge_plugins.evaluators.tabular.rows import Row, check_header, open_rows
from nasforge_plugins.evaluators.tabular.table import Table

__all__ = ["choices_checksum", "read_layout"]

PLACEHOLDERS = {"{budget}": "(?P<budget>[0-9]+)", "{seed}": "(?P<seed>[0-9]+)"}


def read_layout(path: Path, layout: TableLayout) -> Table:
    """Read a CSV or Parquet file whose columns are described.

    An architecture may have several rows, for other budgets or seeds. Rows that repeat a value are accepted,
    rows that disagree are not.

    Args:
        path: The file.
        layout: Which columns hold what.

    Raises:
        TableError: Lists everything that is wrong, with its row; nothing is stored.
    """
    with open_rows(path) as (header, rows):
        check_header(path, header)
        return _LayoutReader(path, header, layout).read(rows)


def choices_checksum(choices: Iterable[Choice]) -> str:
    """Return a SHA-256 of the choices of a space: architectures of equal choices have equal keys."""
    rows = [[choice.name, sorted(choice.options), choice.k, choice.optional] for choice in choices]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


@dataclass(frozen=True)
class _Bound:
    """A column of the file and what it holds."""

    position: int
    name: str
    dataset: str | None
    metric: str
    budget: int | None
    seed: int | None


class _LayoutReader:
    """Collects values by architecture."""

    def __init__(self, path: Path, header: Sequence[str], layout: TableLayout) -> None:
        self.path, self.header, self.layout = path, header, layout
        self.problems = Problems(path)
        for problem in layout.problems():
            self.problems.note(problem)
        self.arch = self._position("--arch-column", layout.arch)
        self.budget = self._position("--budget-column", layout.budget) if layout.budget else None
        self.seed = self._position("--seed-column", layout.seed) if layout.seed else None
        self.columns = list(self._bind())
        self.problems.stop()
        self.values = Values()
        self.rows: dict[str, int] = {}
        self.notations: list[str] = []
        self.parsed: dict[str, int] = {}

    def read(self, rows: Iterable[Row]) -> Table:
        """Read all rows."""
        for place, cells in rows:
            self._add(place, cells)
        if not self.rows and not self.problems.count:
            self.problems.note("it has no rows.")
        self.problems.stop()
        columns = self.values.columns(len(self.rows))
        self._require_runs(columns)
        self.problems.stop()
        return Table(np.array(list(self.rows)), columns, self._about(), np.array(self.notations))

    def _position(self, flag: str, name: str) -> int:
        if name not in self.header:
            self.problems.note(f"{flag}: there is no column {name!r}.{suggest(name, self.header)}")
            return 0
        return self.header.index(name)

    def _bind(self) -> Iterator[_Bound]:
        wanted = [(m.dataset, m.name, m.column, "--metric") for m in self.layout.metrics]
        wanted += [(d, "seconds", column, "--seconds") for d, column in self.layout.seconds.items()]
        for dataset, metric, pattern, flag in wanted:
            parts = re.split(r"(\{budget\}|\{seed\})", pattern)
            if problem := self._misplaced(parts):
                self.problems.note(f"{flag}: {pattern!r} {problem}")
                continue
            expression = re.compile("".join(PLACEHOLDERS.get(part, re.escape(part)) for part in parts))
            found = [(n, m) for n in self.header if (m := expression.fullmatch(n))]
            if not found:
                fits = "no column fits" if len(parts) > 1 else "there is no column"
                self.problems.note(f"{flag}: {fits} {pattern!r}.{suggest(pattern, self.header)}")
            for name, match in found:
                numbers = {key: int(text) for key, text in match.groupdict().items()}
                position = self.header.index(name)
                yield _Bound(position, name, dataset, metric, numbers.get("budget"), numbers.get("seed"))

    def _misplaced(self, parts: Sequence[str]) -> str:
        """Return what is wrong with the placeholders of a pattern."""
        for placeholder, column, flag in (
            ("{budget}", self.layout.budget, "--budget-column"),
            ("{seed}", self.layout.seed, "--seed-column"),
        ):
            if parts.count(placeholder) > 1:
                return f"has {placeholder} twice. Write it once."
            if placeholder in parts and column:
                return f"has {placeholder}, and {flag} is given too. Use one of them."
        return ""

    def _add(self, place: str, cells: Sequence[str]) -> None:
        """Read one row, and note everything that is wrong with it."""
        if len(cells) != len(self.header):
            self.problems.note(f"{place}: {len(cells)} cells, but the header has {len(self.header)} columns.")
            return
        try:
            row = self._row(cells[self.arch].strip())
            budget = self._whole(cells, self.budget, least=1)
            seed = self._whole(cells, self.seed, least=0)
        except (ArchError, ValueError) as error:
            self.problems.note(f"{place}: {error}")
            return
        for column in self.columns:
            at = column.budget if budget is None else budget
            target = name_column(column.dataset, column.metric, at)
            run = column.seed if seed is None else seed
            try:
                value = self._number(column, cells[column.position].strip())
                self.values.put(row, target, run, value, column.name, place)
            except ValueError as error:
                self.problems.note(f"{place}: {error}")

    def _row(self, text: str) -> int:
        """Return the row of an architecture, a new one if it was not seen before."""
        if text not in self.parsed:
            space = self.layout.space
            try:
                arch = space.parse(text)
                space.validate(arch)
                arch = space.canonical(arch)
                notation = space.notation(arch)
            except ArchError:
                raise
            except Exception as error:  # the parser of somebody else's space
                reason = f"{type(error).__name__}: {error}"
                raise ValueError(
                    f"{text!r} cannot be parsed by space {self.layout.space_name!r} ({reason})."
                ) from None
            row = self.rows.setdefault(arch.key, len(self.rows))
            if row == len(self.notations):
                self.notations.append(notation)
            self.parsed[text] = row
        return self.parsed[text]

    def _whole(self, cells: Sequence[str], position: int | None, least: int) -> int | None:
        if position is None:
            return None
        text, name = cells[position].strip(), self.header[position]
        value = read_number(name, text, low=least)
        if value != int(value):
            raise ValueError(f"column {name!r}: {text} is not a whole number.")
        return int(value)

    def _number(self, column: _Bound, text: str) -> float:
        missing = self.layout.missing
        if not text and "" not in missing:
            if column.seed is not None:  # a run that was not made; `_require_runs` counts the others
                missing = ("", *missing)
            else:
                raise ValueError(
                    f"column {column.name!r} is empty. If values may be missing, add --missing ''."
                )
        low = {"low": 0.0} if column.metric == "seconds" else {}
        advice = f" If it stands for a missing value, add --missing {text}."
        return read_number(column.name, text, missing=missing, advice=advice, **low)

    def _require_runs(self, columns: dict[str, Any]) -> None:
        """Note architectures without any run of a metric, if values may not be missing."""
        if self.layout.missing:
            return
        for name, values in columns.items():
            if values.ndim == 2 and (empty := np.isnan(values).all(1)).any():
                shown = self.notations[int(empty.argmax())]
                column = name.removeprefix(f"{NO_DATASET}/")
                self.problems.note(
                    f"{column}: {int(empty.sum())} of {len(empty)} architectures have no value, the first is "
                    f"{shown}. If values may be missing, add --missing ''."
                )

    def _about(self) -> dict[str, Any]:
        """Return the description of the table."""
        layout = self.layout
        scores: dict[str, str] = {}
        for metric in layout.metrics:
            names = [m.name for m in layout.metrics if m.dataset == metric.dataset]
            first = "valid_accuracy" if "valid_accuracy" in names else names[0]
            scores[metric.dataset or NO_DATASET] = first
        return {
            "space": layout.space_name,
            "options": dict(layout.options),
            "choices": choices_checksum(layout.space.choices),
            "source": self.path.name,
            "seeds": self.values.seeds,
            "scores": scores,
            "directions": {f"{m.dataset or NO_DATASET}/{m.name}": m.direction for m in layout.metrics},
        }
