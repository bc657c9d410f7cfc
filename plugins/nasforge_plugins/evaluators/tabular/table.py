"""A table of trained architectures: rows by key, columns of numpy arrays, one file. Torch-free."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from nasforge.errors import suggest
from nasforge.files import fresh_partial, open_own
from nasforge_plugins.evaluators.tabular.errors import TableError

__all__ = ["Array", "Split", "Table"]

FORMAT = "nasforge-table-1"
Array = NDArray[Any]
Split = Literal["valid", "test"]


class Table:
    """Measurements of every architecture of a space.

    A column's name is a path: ``<data set>/valid/<epochs>`` and ``<data set>/test/<epochs>`` are accuracies
    in percent, ``<data set>/seconds/<epochs>`` is the time one training took, anything else
    (``<data set>/params``) describes the network. An accuracy has one value per row, or one per row and
    training seed; integers count right answers, out of ``meta["images"][<data set>/<split>]``, and zero or
    not-a-number marks a run that does not exist.

    Args:
        keys: One digit string per row, as bytes ``(rows, digits)`` of values 0 to 9.
        columns: Arrays of ``rows`` or ``(rows, seeds)`` values, by name.
        meta: ``space``, ``source``, ``seeds`` and ``images``; anything JSON can hold.
    """

    def __init__(self, keys: Array, columns: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self.keys = keys
        self.columns = dict(columns)
        self.meta = dict(meta)
        self._means: dict[str, Array] = {}
        self._ranks: dict[str, Array] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def space(self) -> str:
        """The name of the space whose architectures the keys name."""
        return str(self.meta["space"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds, in the order of the second dimension of the accuracies."""
        return tuple(self.meta.get("seeds", ()))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the image sets, sorted."""
        return tuple(sorted({name.split("/")[0] for name in self.columns}))

    def key(self, row: int) -> str:
        """Return the key of a row."""
        return "".join(map(str, self.keys[row].tolist()))

    def row(self, key: str) -> int:
        """Return the row of a key.

        Raises:
            TableError: There is none.
        """
        if key not in self._rows:
            raise TableError(f"table: it has no row {key!r}. It lists {self.space} ({len(self)} rows).")
        return self._rows[key]

    def epochs(self, dataset: str, split: Split) -> tuple[int, ...]:
        """Return the training lengths with accuracies, shortest first."""
        prefix = f"{dataset}/{split}/"
        return tuple(sorted(int(n.removeprefix(prefix)) for n in self.columns if n.startswith(prefix)))

    def accuracy(
        self, dataset: str, split: Split = "valid", epochs: int = 200, seed: int | Literal["mean"] = "mean"
    ) -> Array:
        """Return one accuracy per row, in percent.

        Args:
            dataset: Name of the image set.
            split: ``"valid"``, or ``"test"`` where the table has it.
            epochs: Length of the training.
            seed: One training run, not-a-number where it does not exist; or the mean of all.

        Raises:
            TableError: The table has no such column or seed.
        """
        name = self._require(dataset, split, epochs)
        if seed == "mean":
            if name not in self._means:
                runs = self.runs(dataset, split, epochs)
                self._means[name] = runs[:, 0] if runs.shape[1] == 1 else np.nanmean(runs, axis=1)
            return self._means[name]
        if self.columns[name].ndim == 1 or seed not in self.seeds:
            known = (
                f"It has seeds {', '.join(map(str, self.seeds))}."
                if self.columns[name].ndim > 1
                else ('It has only the mean of all runs: write seed = "mean".')
            )
            raise TableError(f"table: no run with seed {seed} of {name}. {known}")
        return self.runs(dataset, split, epochs)[:, self.seeds.index(seed)]

    def runs(self, dataset: str, split: Split = "valid", epochs: int = 200) -> Array:
        """Return accuracies in percent, ``(rows, seeds)``; one column of means if that is all there is."""
        name = self._require(dataset, split, epochs)
        raw = self.columns[name]
        raw = raw[:, None] if raw.ndim == 1 else raw
        if raw.dtype.kind == "f":
            return raw
        values = 100.0 * raw / self.meta["images"][f"{dataset}/{split}"]
        values[raw == 0] = np.nan
        return values

    def rank(self, dataset: str, split: Split = "valid", epochs: int = 200) -> Array:
        """Return each row's place among all by mean accuracy: 1 is the best; equals share a place."""
        name = self._require(dataset, split, epochs)
        if name not in self._ranks:
            # Rounded, because equal means of two and of three runs may differ in the last bit.
            losses = -self.accuracy(dataset, split, epochs).round(9)
            self._ranks[name] = 1 + np.searchsorted(np.sort(losses), losses, side="left")
        return self._ranks[name]

    def seconds(self, dataset: str, epochs: int) -> Array:
        """Return the seconds one training takes; a length that was not timed is scaled from one that was.

        Raises:
            TableError: The table has no times.
        """
        if (exact := self.columns.get(f"{dataset}/seconds/{epochs}")) is not None:
            return exact
        prefix = f"{dataset}/seconds/"
        timed = sorted(int(n.removeprefix(prefix)) for n in self.columns if n.startswith(prefix))
        if not timed:
            raise TableError(f"table: it has no training times of {dataset}.")
        return self.columns[f"{prefix}{timed[-1]}"] * (epochs / timed[-1])

    def facts(self, dataset: str, row: int) -> dict[str, float]:
        """Return what describes the network of a row: ``params``, ``macs``, ``latency_ms`` and the like."""
        facts = {name: values[row].item() for name, values in self._described.get(dataset, ())}
        return {
            name: value for name, value in facts.items() if value == value
        }  # not-a-number is not equal to itself

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

    def filled(self, other: Table) -> Table:
        """Return this table with the columns it lacks taken from another one of the same space.

        A column of means gives way to one with single runs if both agree on every row.
        """
        seeds = sorted({*self.seeds, *other.seeds})
        mine, theirs = self._columns_for(seeds), other._columns_for(seeds)
        columns = {**theirs, **mine}
        for name, runs in theirs.items():
            if mine.get(name, runs).ndim < runs.ndim:
                dataset, split, epochs = name.split("/")
                means = other.accuracy(dataset, cast("Split", split), int(epochs))
                if np.allclose(mine[name], means, rtol=0, atol=1e-3):
                    columns[name] = runs
        images = {**other.meta.get("images", {}), **self.meta.get("images", {})}
        return Table(self.keys, columns, {**self.meta, "seeds": seeds, "images": images})

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, without pickle and in one piece: it appears when it is complete."""
        about = {**self.meta, "sha256": _checksum({"keys": self.keys, **self.columns}, self.meta)}
        meta = json.dumps({"format": FORMAT, **about}, sort_keys=True).encode()
        temporary = fresh_partial(path)
        with open_own(temporary, "xb") as file:
            np.savez_compressed(
                file,
                meta=np.frombuffer(meta, np.uint8),
                keys=self.keys,
                **self.columns,  # type: ignore[arg-type]
            )
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read what `save` wrote.

        Raises:
            TableError: The file is missing, damaged, or no table.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(arrays.pop("meta").tobytes())
            if meta.pop("format") != FORMAT:
                raise ValueError("another version of the format")
            # The table inside nasforge has none; zip archives have a CRC-32 of each member besides.
            stored = meta.pop("sha256", None)
            if stored is not None and stored != _checksum(arrays, meta):
                raise ValueError("its checksum differs from its content")
            return cls(arrays.pop("keys"), arrays, meta)
        except FileNotFoundError:
            raise TableError(f"{path}: no such file.") from None
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            AttributeError,
            TypeError,
            IndexError,
            NotImplementedError,
            RuntimeError,
            MemoryError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise TableError(
                f"{path}: is not a nasforge table, or is damaged ({error}). "
                "Import it again with 'nasforge tables import'."
            ) from None

    @cached_property
    def _described(self) -> dict[str, list[tuple[str, Array]]]:
        found: dict[str, list[tuple[str, Array]]] = {}
        for path, values in self.columns.items():
            dataset, _, name = path.partition("/")
            if "/" not in name:
                found.setdefault(dataset, []).append((name, values))
        return found

    @cached_property
    def _rows(self) -> dict[str, int]:
        width = self.keys.shape[1]
        text = (self.keys + ord("0")).astype(np.uint8).tobytes().decode("ascii")
        return {text[width * row : width * (row + 1)]: row for row in range(len(self))}

    def _columns_for(self, seeds: Sequence[int]) -> dict[str, Array]:
        """Return the columns, single runs laid out for ``seeds``, which include this table's own."""
        places = [seeds.index(seed) for seed in self.seeds]
        columns: dict[str, Array] = {}
        for name, values in self.columns.items():
            columns[name] = values
            if values.ndim > 1 and len(seeds) > len(self.seeds):
                missing = np.nan if values.dtype.kind == "f" else 0
                columns[name] = np.full((len(values), len(seeds)), missing, values.dtype)
                columns[name][:, places] = values
        return columns

    def _require(self, dataset: str, split: Split, epochs: int) -> str:
        name = f"{dataset}/{split}/{epochs}"
        if name in self.columns:
            return name
        if dataset not in self.datasets:
            raise TableError(f"table: no data set {dataset!r}.{suggest(dataset, self.datasets)}")
        lengths = self.epochs(dataset, split)
        if not lengths:
            raise TableError(
                f"table: it has no {split} accuracies of {dataset}. Import a table that has them with "
                "'nasforge tables import'."
            )
        raise TableError(
            f"table: no {split} accuracy of {dataset} after {epochs} epochs, only after "
            f"{' or '.join(map(str, lengths))}. Ask for one of these, or import a table that has "
            "more with 'nasforge tables import'."
        )


def _checksum(arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> str:
    """Return a SHA-256 of numbers, names and types of all arrays, and of what is said about them."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
