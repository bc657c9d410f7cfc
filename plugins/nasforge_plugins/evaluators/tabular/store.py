"""Where tables live: one inside nasforge, imported ones in the user's data folder.

Only functions that read numbers import numpy: recipes are checked without.
"""

from __future__ import annotations

import re
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nasforge.errors import suggest
from nasforge.files import user_folder
from nasforge_plugins.evaluators.tabular.columns import Column, split_column
from nasforge_plugins.evaluators.tabular.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nasforge_plugins.evaluators.tabular.table import Array, Table

__all__ = [
    "SHIPPED",
    "check_name",
    "datasets",
    "described",
    "filled",
    "folder",
    "is_name",
    "load",
    "path_of",
    "tables",
]

SHIPPED = {"nasbench201": Path(__file__).with_name("nasbench201.npz")}
"""Tables inside the distribution, by name; the name is that of their space too."""


def folder() -> Path:
    """Return the folder of imported tables; see `nasforge.files.user_folder`."""
    return user_folder("tables")


def tables() -> dict[str, Path]:
    """Return the files of all tables by name, shipped ones first."""
    imported = sorted(folder().glob("*.npz")) if folder().is_dir() else []
    return {**SHIPPED, **{path.stem: path for path in imported if not path.name.startswith(".")}}


def is_name(name: str) -> bool:
    """Return whether a text can be the name of a table: a plain file name."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) is not None


def check_name(name: str) -> None:
    """Check that a table may be imported under ``name``.

    Raises:
        TableError: The name is not a plain file name, or belongs to a table inside nasforge.
    """
    if not is_name(name):
        raise TableError(f"table name {name!r}: use letters, digits, '-', '_' and '.'.")
    if name in SHIPPED:
        raise TableError(f"table name {name!r}: belongs to the table inside nasforge. Choose another --name.")


def path_of(name: str) -> Path:
    """Return the file of a table, by its name or path.

    Raises:
        TableError: There is no such table.
    """
    if name.endswith(".npz"):
        if not Path(name).is_file():
            raise TableError(f"table {name!r}: no such file.")
        return Path(name)
    known = tables()
    if name not in known:
        raise TableError(
            f"table {name!r}: there is none of that name.{suggest(name, known)} "
            "Import one with 'nasforge tables import FILE'."
        )
    return known[name]


def load(name: str, space: str | None = None) -> Table:
    """Read a table; what an imported one lacks is taken from the one inside nasforge.

    Args:
        name: A name that `tables` lists, or the path of a table file.
        space: The space it must belong to.

    Raises:
        TableError: There is no such table, it cannot be read, or it belongs to another space.
    """
    path = path_of(name)
    table = _read(path, path.stat().st_mtime_ns if path.exists() else 0)
    if space is not None and table.space != space:
        raise TableError(f"table {name!r}: it lists architectures of {table.space!r}, not of {space!r}.")
    return table


def described(name: str, dataset: str | None) -> frozenset[str]:
    """Return the names of the metrics that evaluations may have, without reading a number.

    Args:
        name: As in `load`.
        dataset: Name of the image set; None for the first one.

    Raises:
        TableError: There is no such table, or it cannot be read.
    """
    columns = _columns(name)
    dataset = dataset or min((owner for owner, _, _ in columns), default=None)
    return frozenset(
        metric
        for owner, metric, _ in columns
        if owner == dataset and metric != "seconds" and not metric.startswith("test")
    )


def datasets(name: str) -> list[str]:
    """Return the names of the image sets of a table, without reading a number; see `described`."""
    return sorted({owner for owner, _, _ in _columns(name)})


def _columns(name: str) -> list[Column]:
    found = _members(path_of(name))
    if "notations" not in found:
        # An imported table takes what it lacks from the one inside nasforge, if both are of one space.
        found |= {member for path in SHIPPED.values() for member in _members(path)}
    return [split_column(column) for column in found if "/" in column]


def _members(path: Path) -> set[str]:
    if not path.is_file():
        raise TableError(f"{path}: is not a file. Remove it.")
    try:
        with zipfile.ZipFile(path) as file:
            return {member.removesuffix(".npy") for member in file.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise TableError(f"{path}: cannot be read ({error}).") from None


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Table:
    from nasforge_plugins.evaluators.tabular.table import Table

    table = Table.load(path)
    if path in SHIPPED.values() or table.space not in SHIPPED or not table.has_digits:
        return table
    return filled(table, load(table.space))


def filled(table: Table, other: Table) -> Table:
    """Return a table with the columns it lacks taken from another one with the same rows.

    A column of means gives way to one with single runs if both agree on every row.
    """
    import numpy as np

    from nasforge_plugins.evaluators.tabular.table import Table

    seeds = sorted({*table.seeds, *other.seeds})
    mine, theirs = _laid_out(table, seeds), _laid_out(other, seeds)
    columns = {**theirs, **mine}
    for name, runs in theirs.items():
        if mine.get(name, runs).ndim < runs.ndim and np.allclose(
            mine[name], other.accuracy(*other.described[name]), rtol=0, atol=1e-3
        ):
            columns[name] = runs
    images = {**other.meta.get("images", {}), **table.meta.get("images", {})}
    return Table(table.keys, columns, {**table.meta, "seeds": seeds, "images": images})


def _laid_out(table: Table, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the columns of a table, single runs laid out for ``seeds``, which include its own."""
    import numpy as np

    places = [seeds.index(seed) for seed in table.seeds]
    columns: dict[str, Array] = {}
    for name, values in table.columns.items():
        columns[name] = values
        if values.ndim > 1 and len(seeds) > len(table.seeds):
            missing = np.nan if values.dtype.kind == "f" else 0
            columns[name] = np.full((len(values), len(seeds)), missing, values.dtype)
            columns[name][:, places] = values
    return columns
