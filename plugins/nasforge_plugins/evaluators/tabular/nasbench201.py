"""Read a NAS-Bench-201 table, all of whose columns are known, and check every cell of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nasforge.errors import ArchError, suggest
from nasforge_plugins.evaluators.tabular.collecting import Problems, Values, read_number
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.rows import Row, check_header, open_rows
from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.evaluators.tabular.table import Array, Table
from nasforge_plugins.spaces.nasbench201.notation import OPERATIONS, parse_cell

__all__ = ["DATASETS", "SPACE", "fixed_columns", "read_nasbench201"]

SPACE = "nasbench201"
DATASETS = {"c10": "cifar10", "c100": "cifar100", "im16": "imagenet16-120"}
"""Data sets by the short names of CSV columns."""

# Parameters and operations of a network without convolutions in its cells, and per data set the number of
# classes and the image area relative to CIFAR (fact sheet of NAS-Bench-201; the rule is exact for all rows).
BASE_PARAMS, PER_CLASS = 72_656, 65
BASE_MACS, MACS_1X1, MACS_3X3 = 7_782_400, 3_932_160, 35_389_440
HEADS = {"cifar10": (10, 1.0), "cifar100": (100, 1.0), "imagenet16-120": (120, 0.25)}


def fixed_columns(digits: Array) -> dict[str, Array]:
    """Return parameters and multiply-adds of every row on every data set.

    Multiply-adds are those of convolutions and the classifier, without its bias: the benchmark's own figures
    are larger by one per class.

    Args:
        digits: Codes, ``(rows, 6)``.
    """
    ones = (digits == OPERATIONS.index("nor_conv_1x1")).sum(1)
    threes = (digits == OPERATIONS.index("nor_conv_3x3")).sum(1)
    columns: dict[str, Array] = {}
    for dataset, (classes, area) in HEADS.items():
        params = BASE_PARAMS + PER_CLASS * classes + 28_000 * ones + 243_040 * threes
        macs = area * (BASE_MACS + MACS_1X1 * ones + MACS_3X3 * threes) + 64 * classes
        columns[f"{dataset}/params"] = params.astype(np.uint32)
        columns[f"{dataset}/macs"] = macs.astype(np.uint32)
    return columns


@dataclass(frozen=True)
class _Column:
    """Where the numbers of a CSV column go, and which numbers it may hold."""

    target: str
    low: float = 0.0
    high: float = math.inf
    seed: int | None = None
    missing: str | None = None
    unit: float = 1.0
    fixed: bool = False


def _short(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("SET", "(c10|c100|im16)"))


_KINDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], _Column]], ...] = (
    (
        _short("SET_(valid|test)_(12|200)(?:_s([0-9]+))?"),
        lambda m: _Column(f"{DATASETS[m[1]]}/{m[2]}/{m[3]}", 0.0, 100.0, seed=int(m[4]) if m[4] else None),
    ),
    (
        re.compile("train_s_(c10|c100|im16)(?:valid)?_(12|200)"),
        lambda m: _Column(f"{DATASETS[m[1]]}/seconds/{m[2]}"),
    ),
    (_short("gpu_latency_ms_SET"), lambda m: _Column(f"{DATASETS[m[1]]}/latency_ms")),
    (
        _short("SET_([a-z0-9]+)_latency"),
        lambda m: _Column(f"{DATASETS[m[1]]}/{m[2]}_latency_ms", missing="-1"),
    ),
    (_short("SET_([a-z0-9]+)_energy"), lambda m: _Column(f"{DATASETS[m[1]]}/{m[2]}_energy_mj", missing="-1")),
    (
        _short("SET_([a-z0-9]+)_arithmetic_intensity"),
        lambda m: _Column(f"{DATASETS[m[1]]}/{m[2]}_arithmetic_intensity"),
    ),
    (_short("params_SET"), lambda m: _Column(f"{DATASETS[m[1]]}/params", fixed=True)),
    (_short("mflops_SET"), lambda m: _Column(f"{DATASETS[m[1]]}/macs", unit=1e6, fixed=True)),
)
_IGNORED = ("index", "arch", "code", "iso_index", "equiv_index", "n_seeds")


def read_nasbench201(path: Path) -> Table:
    """Read a CSV or Parquet file with one row per NAS-Bench-201 architecture.

    Columns: ``index`` and ``arch`` must be there; ``{c10,c100,im16}_{valid,test}_{12,200}`` are accuracies in
    percent, with ``_s<seed>`` those of single runs (empty where a run is missing);
    ``train_s_{c10,c100,im16}_{12,200}`` seconds of training; ``gpu_latency_ms_*``, ``*_<device>_latency`` and
    ``*_<device>_energy`` measurements of the network (-1: missing); ``params_*``, ``mflops_*`` and ``code``
    are checked; ``iso_index``, ``equiv_index`` and ``n_seeds`` are accepted and not needed.

    Args:
        path: The file.

    Raises:
        TableError: Names file, line and column of what is wrong; nothing is stored.
    """
    with open_rows(path) as (header, rows):
        return _Rows(path, header, _columns(path, header)).read(rows)


class _Rows:
    """Collects rows and their problems."""

    def __init__(self, path: Path, header: Sequence[str], columns: dict[str, _Column]) -> None:
        self.path, self.header, self.columns = path, header, columns
        self.official = load(SPACE)
        self.fixed = fixed_columns(self.official.keys)
        self.values = Values()
        self.lines: dict[int, str] = {}
        self.problems = Problems(path)

    def read(self, rows: Iterable[Row]) -> Table:
        for place, cells in rows:
            try:
                self.put(place, cells)
            except (ArchError, ValueError) as error:
                self.problems.note(f"{place}: {error}")
        if len(self.lines) + self.problems.count < len(self.official):
            absent = sorted(set(range(len(self.official))) - set(self.lines))
            shown = ", ".join(map(str, absent[:5])) + (", …" if len(absent) > 5 else "")
            self.problems.note(
                f"{len(absent)} of {len(self.official)} architectures are missing: index {shown}."
            )
        self.problems.stop()
        return self.table()

    def put(self, place: str, cells: Sequence[str]) -> None:
        if len(cells) != len(self.header):
            raise ValueError(f"{len(cells)} cells, but the header has {len(self.header)} columns.")
        row = dict(zip(self.header, cells, strict=True))
        if not row["index"].isdecimal() or int(row["index"]) >= len(self.official):
            raise ValueError(
                f"column 'index': {row['index']!r} is not a number from 0 to {len(self.official) - 1}."
            )
        index = int(row["index"])
        code = "".join(str(OPERATIONS.index(name)) for name in parse_cell(row["arch"]))
        if (known := self.official.row(code)) != index:
            raise ValueError(f"{row['arch']!r} has index {known} in the benchmark, not {index}.")
        if row.get("code", code) != code:
            raise ValueError(f"column 'code': {row['code']!r} is not the code of its cell, {code!r}.")
        if index in self.lines:
            raise ValueError(f"index {index} was given in {self.lines[index]} before.")
        values = {name: self.number(name, column, row[name], index) for name, column in self.columns.items()}
        for name, value in values.items():
            self.values.put(index, self.columns[name].target, self.columns[name].seed, value, name, place)
        self.lines[index] = place

    def number(self, name: str, column: _Column, text: str, index: int) -> float:
        missing = [*([""] if column.seed is not None else ()), *([column.missing] if column.missing else ())]
        value = read_number(name, text, missing=missing, low=column.low, high=column.high)
        if column.fixed:
            expected = int(self.fixed[column.target][index])
            if column.target.endswith("/macs"):
                expected += HEADS[column.target.split("/")[0]][0]
            if round(value * column.unit) != expected:
                raise ValueError(
                    f"column {name!r}: {text} is not {expected / column.unit:g}, as for this cell."
                )
        return value

    def table(self) -> Table:
        kept = self.values.columns(len(self.official))
        kept = {target: column for target, column in kept.items() if target not in self.fixed}
        for target, runs in kept.items():
            if runs.ndim == 2 and (empty := np.isnan(runs).all(1)).any():
                raise TableError(f"{self.path}: {target} has no run at all for index {int(empty.argmax())}.")
        meta: dict[str, Any] = {"space": SPACE, "source": self.path.name}
        seeds = self.values.seeds
        return Table(self.official.keys, kept, {**meta, "seeds": seeds} if seeds else meta)


def _columns(path: Path, header: Sequence[str]) -> dict[str, _Column]:
    if absent := [repr(name) for name in ("index", "arch") if name not in header]:
        raise TableError(
            f"{path}: is not a table of NAS-Bench-201: it has no column {' and '.join(absent)}. It starts "
            f"with {','.join(header)[:60]!r}. For another table name --space, --arch-column and --metric."
        )
    check_header(path, header)
    columns: dict[str, _Column] = {}
    for name in header:
        if name in _IGNORED:
            continue
        made = [make(match) for pattern, make in _KINDS if (match := pattern.fullmatch(name))]
        if not made:
            examples = [
                f"{s}_{split}_{e}" for s in DATASETS for split in ("valid", "test") for e in (12, 200)
            ]
            raise TableError(f"{path}, line 1: no column {name!r} is known.{suggest(name, examples)}")
        columns[name] = made[0]
    single = {c.target for c in columns.values() if c.seed is not None}
    for name, column in columns.items():
        if column.seed is None and column.target in single:
            raise TableError(f"{path}, line 1: give {name!r} or its single runs (_s<seed>), not both.")
    if all(column.fixed for column in columns.values()):
        raise TableError(f"{path}: holds no measurement: no accuracy, time, latency or energy.")
    return columns
