"""A table of trained architectures: rows by key, columns of numpy arrays. Torch-free."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasforge.errors import suggest
from nasforge_plugins.evaluators.tabular.archive import read_archive, write_archive
from nasforge_plugins.evaluators.tabular.columns import METRICS, STORED_NAMES, Column, split_column
from nasforge_plugins.evaluators.tabular.errors import TableError

__all__ = ["Array", "Table"]

Array = NDArray[Any]


class Table:
    """Results of architectures of a space.

    A column's name is a path: ``<data set>/<metric>``, or ``<data set>/<metric>/<budget>`` for a metric that
    depends on a budget, such as epochs of training. ``valid`` and ``test`` are the accuracies, ``seconds`` is
    the time of one training. A column has one value per row, or one per row and training seed. Integers count
    right answers, out of ``meta["images"][<data set>/<metric>]``, and zero or not-a-number marks a value that
    is not known.

    Args:
        keys: One digit string per row, as bytes ``(rows, digits)`` of values 0 to 9; or one text per row,
            the key of an `Arch`.
        columns: Arrays of ``rows`` or ``(rows, seeds)`` values, by name.
        meta: ``space``, ``source``, ``seeds``, ``images``, ``directions`` ("min" or "max" by data set and
            metric), ``scores`` (metric by data set) and ``choices`` (a checksum); anything JSON can hold.
        notations: The architecture of each row as its space writes it, where keys are texts.
    """

    def __init__(
        self,
        keys: Array,
        columns: Mapping[str, Array],
        meta: Mapping[str, Any],
        notations: Array | None = None,
    ) -> None:
        self.keys = keys
        self.columns = dict(columns)
        self.meta = dict(meta)
        self.notations = notations
        self._means: dict[str, Array] = {}
        self._ranks: dict[str, Array] = {}
        self._known: dict[tuple[str, int | None], list[tuple[str, Array | None, Array]]] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def space(self) -> str:
        """The name of the space whose architectures the keys name."""
        return str(self.meta["space"])

    @property
    def has_digits(self) -> bool:
        """Whether keys are digits, as a `TabularSpace` makes them; else they are keys of `Arch`."""
        return self.keys.ndim == 2

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds, in the order of the second dimension of the columns."""
        return tuple(self.meta.get("seeds", ()))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the image sets, sorted."""
        return tuple(sorted({name.split("/")[0] for name in self.columns}))

    def key(self, row: int) -> str:
        """Return the key of a row."""
        return "".join(map(str, self.keys[row].tolist())) if self.has_digits else str(self.keys[row])

    def notation(self, row: int) -> str:
        """Return the architecture of a row as text; its key if nothing else is stored."""
        return self.key(row) if self.notations is None else str(self.notations[row])

    def find(self, key: str) -> int | None:
        """Return the row of a key; None if there is none."""
        return self._rows.get(key)

    def row(self, key: str) -> int:
        """Return the row of a key.

        Raises:
            TableError: There is none.
        """
        if key not in self._rows:
            raise TableError(f"table: it has no row {key!r}. It lists {self.space} ({len(self)} rows).")
        return self._rows[key]

    @cached_property
    def described(self) -> dict[str, Column]:
        """Data set, metric and budget of every column, by its name."""
        return {name: split_column(name) for name in self.columns}

    def metrics(self, dataset: str) -> dict[str, list[int | None]]:
        """Return the budgets of every metric of an image set, shortest first; None stands for no budget."""
        found: dict[str, list[int | None]] = {}
        for owner, metric, budget in self.described.values():
            if owner == dataset:
                found.setdefault(metric, []).append(budget)
        return {metric: sorted(budgets, key=lambda b: b or 0) for metric, budgets in found.items()}

    def direction(self, dataset: str, metric: str) -> Literal["max", "min"] | None:
        """Return whether higher or lower values of a metric are better; None if that is not known."""
        stored = self.meta.get("directions", {}).get(f"{dataset}/{metric}")
        if stored is None and metric in STORED_NAMES:
            return "max"
        return "min" if stored == "min" else "max" if stored == "max" else None

    def score(self, dataset: str) -> str:
        """Return the metric that scores architectures if nothing else is asked for."""
        return str(self.meta.get("scores", {}).get(dataset, "valid_accuracy"))

    def epochs(self, dataset: str, metric: str) -> tuple[int, ...]:
        """Return the budgets at which a metric is known, shortest first."""
        budgets = self.metrics(dataset).get(METRICS.get(metric, metric), [])
        return tuple(budget for budget in budgets if budget is not None)

    def accuracy(
        self,
        dataset: str,
        metric: str = "valid",
        epochs: int | None = 200,
        seed: int | Literal["mean"] = "mean",
    ) -> Array:
        """Return one value of a metric per row, not-a-number where it is not known.

        Args:
            dataset: Name of the image set.
            metric: Its name; ``"valid"`` and ``"test"`` are the accuracies, in percent.
            epochs: The budget, such as the length of the training; None for a metric without one.
            seed: One training run, or the mean of all.

        Raises:
            TableError: The table has no such column or seed.
        """
        name = self.column(dataset, metric, epochs)
        if seed == "mean":
            if name not in self._means:
                self._means[name] = _mean(self.runs(dataset, metric, epochs))
            return self._means[name]
        if self.columns[name].ndim == 1 or seed not in self.seeds:
            known = (
                f"It has seeds {', '.join(map(str, self.seeds))}."
                if self.columns[name].ndim > 1
                else 'It has only the mean of all runs: write seed = "mean".'
            )
            raise TableError(f"table: no run with seed {seed} of {name}. {known}")
        return self.runs(dataset, metric, epochs)[:, self.seeds.index(seed)]

    def runs(self, dataset: str, metric: str = "valid", epochs: int | None = 200) -> Array:
        """Return values ``(rows, seeds)``; one column if single runs are not known."""
        name = self.column(dataset, metric, epochs)
        raw = self.columns[name]
        raw = raw[:, None] if raw.ndim == 1 else raw
        images = self.meta.get("images", {}).get("/".join(name.split("/")[:2]))
        if images is None or raw.dtype.kind == "f":
            return raw
        values = 100.0 * raw / images
        values[raw == 0] = np.nan
        return values

    def rank(self, dataset: str, metric: str = "valid", epochs: int | None = 200) -> Array:
        """Return each row's place among all by mean accuracy: 1 is the best; equals share a place."""
        name = self.column(dataset, metric, epochs)
        if name not in self._ranks:
            # Rounded, because equal means of two and of three runs may differ in the last bit.
            losses = -self.accuracy(dataset, metric, epochs).round(9)
            self._ranks[name] = 1 + np.searchsorted(np.sort(losses), losses, side="left")
        return self._ranks[name]

    def seconds(self, dataset: str, epochs: int | None) -> Array:
        """Return the seconds one training takes; a length that was not timed is scaled from one that was.

        Zero where the table does not know.
        """
        budgets = self.metrics(dataset).get("seconds", [])
        if epochs in budgets or None in budgets:
            return np.nan_to_num(self.accuracy(dataset, "seconds", epochs if epochs in budgets else None))
        if not budgets or epochs is None or (last := budgets[-1]) is None:
            return np.zeros(len(self))
        return np.nan_to_num(self.accuracy(dataset, "seconds", last) * (epochs / last))

    def facts(
        self, dataset: str, row: int, epochs: int | None = None, run: int | None = None
    ) -> dict[str, float]:
        """Return what may be known about an architecture before and during a search: no test metrics.

        Args:
            dataset: Name of the image set.
            row: The row of the architecture.
            epochs: The budget of metrics that depend on one; None leaves them out.
            run: Index of a training seed, for metrics of single runs; None, or a run that is not known, takes
                the mean of all.

        Returns:
            Values by metric, those that are known.
        """
        found = {}
        for metric, runs, means in self._facts(dataset, epochs):
            value = means[row].item() if run is None or runs is None else runs[row, run].item()
            value = means[row].item() if value != value else value  # not-a-number is not equal to itself
            if value == value:
                found[metric] = value
        return found

    def describe(self, key: str, *, test: bool = False) -> dict[str, float]:
        """Return accuracy and rank of a row on every image set, after the longest training.

        Args:
            key: The row's key.
            test: Whether to return test accuracies too, where the table has them.
        """
        row = self.row(key)
        found: dict[str, float] = {"index": row, "architectures": len(self)}
        for dataset in self.datasets:
            if lengths := self.epochs(dataset, "valid"):
                found[f"{dataset}_valid_accuracy"] = float(self.accuracy(dataset, "valid", lengths[-1])[row])
                found[f"{dataset}_valid_rank"] = int(self.rank(dataset, "valid", lengths[-1])[row])
            if test and (lengths := self.epochs(dataset, "test")):
                found[f"{dataset}_test_accuracy"] = float(self.accuracy(dataset, "test", lengths[-1])[row])
        return found

    def column(self, dataset: str, metric: str, epochs: int | None) -> str:
        """Return the name of a column.

        Args:
            dataset: Name of the image set.
            metric: Its name.
            epochs: The budget; None for a metric without one.

        Raises:
            TableError: There is no such column.
        """
        stored, metric = STORED_NAMES.get(metric, metric), METRICS.get(metric, metric)
        name = f"{dataset}/{stored}" + ("" if epochs is None else f"/{epochs}")
        if name in self.columns:
            return name
        if dataset not in self.datasets:
            raise TableError(f"table: no data set {dataset!r}.{suggest(dataset, self.datasets)}")
        if metric not in self.metrics(dataset):
            accuracies = metric in STORED_NAMES
            what = f"{stored} accuracies" if accuracies else f"metric {metric!r}"
            known = "" if accuracies else suggest(metric, self.metrics(dataset))
            raise TableError(
                f"table: it has no {what} of {dataset}.{known} Import a table that has them with "
                "'nasforge tables import'."
            )
        what = f"{stored} accuracy" if metric in STORED_NAMES else metric
        lengths = self.epochs(dataset, metric)
        if not lengths:
            raise TableError(
                f"table: the {what} of {dataset} does not depend on a budget, so that there is none after "
                f"{epochs} epochs. Leave the budget out, or import a table with several."
            )
        raise TableError(
            f"table: no {what} of {dataset} after {epochs} epochs, only after "
            f"{' or '.join(map(str, lengths))}. Ask for one of these, or import a table that has "
            "more with 'nasforge tables import'."
        )

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, without pickle and in one piece: it appears when it is complete."""
        notations = {} if self.notations is None else {"notations": self.notations}
        write_archive(path, {"keys": self.keys, **notations, **self.columns}, self.meta)

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read what `save` wrote; see `read_archive` for errors."""
        arrays, meta = read_archive(path)
        return cls(arrays.pop("keys"), arrays, meta, arrays.pop("notations", None))

    def _facts(self, dataset: str, epochs: int | None) -> list[tuple[str, Array | None, Array]]:
        """Return the metrics of `facts`, each with its single runs, if there are any, and their means."""
        if (dataset, epochs) not in self._known:
            self._known[dataset, epochs] = found = []
            for metric, budgets in self.metrics(dataset).items():
                if metric == "seconds" or metric.startswith("test"):
                    continue
                at = epochs if epochs in budgets else None
                if at in budgets:
                    runs = self.runs(dataset, metric, at)
                    several = None if runs.shape[1] == 1 else runs
                    found.append((metric, several, self.accuracy(dataset, metric, at)))
        return self._known[dataset, epochs]

    @cached_property
    def _rows(self) -> dict[str, int]:
        if not self.has_digits:
            return {key: row for row, key in enumerate(self.keys.tolist())}
        width = self.keys.shape[1]
        text = (self.keys + ord("0")).astype(np.uint8).tobytes().decode("ascii")
        return {text[width * row : width * (row + 1)]: row for row in range(len(self))}


def _mean(runs: Array) -> Array:
    if runs.shape[1] == 1:
        return np.asarray(runs[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows of which nothing is known
        return np.asarray(np.nanmean(runs, axis=1))
