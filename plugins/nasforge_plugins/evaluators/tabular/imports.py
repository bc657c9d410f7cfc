"""Import, list and describe tables, as `nasforge tables` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from nasforge_plugins.evaluators.tabular import store
from nasforge_plugins.evaluators.tabular.benchmark_api import open_api, read_api
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.importing import read_csv
from nasforge_plugins.evaluators.tabular.table import Split, Table

__all__ = ["describe_table", "import_table", "list_tables"]


def import_table(
    path: Path,
    name: str | None = None,
    *,
    trust: bool = False,
    replace: bool = False,
    report: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Check a file and store it as a table; nothing is stored unless all of it is right.

    Args:
        path: A CSV file, plain or gzipped; or a NATS-Bench archive (file or folder).
        name: Name for the table; None takes the file's name.
        trust: Allow archives whose reader executes code that the archive brings along (pickle).
        replace: Allow to overwrite a table that was imported before.
        report: Told the share that is read, from 0 to 1.

    Returns:
        What `describe_table` returns.

    Raises:
        TableError: The file has mistakes; names each with its place.
    """
    name = name or path.name.split(".")[0]
    store.check_name(name)
    target = store.folder() / f"{name}.npz"
    if target.exists() and not replace:
        raise TableError(
            f"table name {name!r}: was imported before. Choose another --name, or add --replace."
        )
    _read(path, trust, report).save(target)
    return describe_table(name)


def list_tables() -> list[dict[str, Any]]:
    """Return name, space, file and origin of every table; of one that cannot be read, the reason."""
    listed = []
    for name, path in store.tables().items():
        row: dict[str, Any] = {"name": name, "path": str(path), "shipped": name in store.SHIPPED}
        try:
            table = Table.load(path)
            row |= {"space": table.space, "rows": len(table), "source": table.meta.get("source", "")}
        except TableError as error:
            row["problem"] = str(error)
        listed.append(row)
    return listed


def describe_table(name: str) -> dict[str, Any]:
    """Return what a table holds: columns, training seeds, and the best row per column of accuracies."""
    table = store.load(name)
    own = Table.load(store.path_of(name))
    imported = set() if name in store.SHIPPED else set(own.columns)
    columns: list[Mapping[str, Any]] = []
    for dataset in table.datasets:
        for split in get_args(Split):
            for epochs in table.epochs(dataset, split):
                values = table.accuracy(dataset, split, epochs)
                best = int(values.argmax())
                columns.append(
                    {
                        "column": f"{dataset}/{split}/{epochs}",
                        "from": "file" if f"{dataset}/{split}/{epochs}" in imported else "nasforge",
                        "best": round(float(values[best]), 4),
                        "best_index": best,
                        "best_key": table.key(best),
                    }
                )
    others = sorted({c.split("/")[1] for c in table.columns} - {"valid", "test"})
    return {
        "name": name,
        "space": table.space,
        "rows": len(table),
        "source": own.meta.get("source", ""),
        "seeds": list(table.seeds),
        "accuracies": columns,
        "other_columns": others,
    }


def _read(path: Path, trust: bool, report: Callable[[float], None]) -> Table:
    if not path.exists():
        raise TableError(f"{path}: no such file.")
    if path.suffix in (".pth", ".pt"):
        raise TableError(
            f"{path}: a torch archive of NAS-Bench-201, which nasforge does not unpickle. Open it with the "
            "benchmark's own package in Python and pass the object to "
            "nasforge_plugins.evaluators.tabular.benchmark_api.read_api, or use the NATS-Bench archive."
        )
    if path.is_dir() or path.name.endswith((".pickle.pbz2", ".pbz2", ".pickle")):
        if not trust:
            raise TableError(
                f"{path}: reading a NATS-Bench archive runs code stored in it (pickle). If you trust "
                "where it comes from, add --trust."
            )
        return read_api(open_api(path), report)
    return read_csv(path)
