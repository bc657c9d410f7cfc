"""Where tables live: one inside nasforge, imported ones in the user's data folder.

Nothing but `load` imports numpy: recipes are checked without.
"""

from __future__ import annotations

import re
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nasforge.errors import suggest
from nasforge.files import user_folder
from nasforge_plugins.evaluators.tabular.errors import TableError

if TYPE_CHECKING:
    from nasforge_plugins.evaluators.tabular.table import Table

__all__ = ["SHIPPED", "check_name", "described", "folder", "load", "path_of", "tables"]

SHIPPED = {"nasbench201": Path(__file__).with_name("nasbench201.npz")}
"""Tables inside the distribution, by name; the name is that of their space too."""


def folder() -> Path:
    """Return the folder of imported tables; see `nasforge.files.user_folder`."""
    return user_folder("tables")


def tables() -> dict[str, Path]:
    """Return the files of all tables by name, shipped ones first."""
    imported = sorted(folder().glob("*.npz")) if folder().is_dir() else []
    return {**SHIPPED, **{path.stem: path for path in imported if not path.name.startswith(".")}}


def check_name(name: str) -> None:
    """Check that a table may be imported under ``name``.

    Raises:
        TableError: The name is not a plain file name, or belongs to a table inside nasforge.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
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


def described(name: str, dataset: str) -> frozenset[str]:
    """Return the names of what `Table.facts` may tell, without reading a number.

    Args:
        name: As in `load`.
        dataset: Name of the image set.

    Raises:
        TableError: There is no such table, or it cannot be read.
    """
    found: set[str] = set()
    # An imported table takes what it lacks from the one inside nasforge, if both are of one space.
    for path in (path_of(name), *SHIPPED.values()):
        try:
            with zipfile.ZipFile(path) as file:
                found.update(member.removesuffix(".npy") for member in file.namelist())
        except (OSError, zipfile.BadZipFile) as error:
            raise TableError(f"{path}: cannot be read ({error}).") from None
    columns = [column.partition("/") for column in found]
    return frozenset(fact for owner, _, fact in columns if owner == dataset and "/" not in fact)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Table:
    from nasforge_plugins.evaluators.tabular.table import Table

    table = Table.load(path)
    if path in SHIPPED.values() or table.space not in SHIPPED:
        return table
    return table.filled(load(table.space))
