"""Import tables, list them and describe one: the work of `nasforge tables`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nasforge.tables import TableLayout
from nasforge_plugins.evaluators.tabular import store
from nasforge_plugins.evaluators.tabular.benchmark_api import open_api, read_api
from nasforge_plugins.evaluators.tabular.columns import NO_DATASET
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.layout import read_layout
from nasforge_plugins.evaluators.tabular.nasbench201 import read_nasbench201
from nasforge_plugins.evaluators.tabular.table import Table

__all__ = ["describe_table", "import_table", "list_tables"]


def import_table(
    path: Path,
    name: str | None = None,
    *,
    layout: TableLayout | None = None,
    trust: bool = False,
    replace: bool = False,
    report: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Check a file and store it as a table; nothing is stored unless all of it is right.

    Args:
        path: A CSV file, plain or gzipped, or a Parquet file; or a NATS-Bench archive (file or folder).
        name: Name for the table; None takes the file's name.
        layout: Which columns hold what; None for NAS-Bench-201, whose columns are known.
        trust: Allow archives whose reader executes code that the archive brings along (pickle).
        replace: Allow to overwrite a table that was imported before.
        report: Told the share that is read, from 0 to 1.

    Returns:
        What `describe_table` returns.

    Raises:
        TableError: The file has mistakes; names each with its place.
    """
    name = _own_name(path) if name is None else name
    store.check_name(name)
    target = store.folder() / f"{name}.npz"
    if target.exists() and not replace:
        raise TableError(
            f"table name {name!r}: was imported before. Choose another --name, or add --replace."
        )
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise TableError(f"{path}: is a device or a pipe. Name a file.")
    table = _read(path, trust, report) if layout is None else read_layout(path, layout)
    table.save(target)
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
    """Return what a table holds: space, training seeds, and a description of every column."""
    table = store.load(name)
    own = Table.load(store.path_of(name))
    imported = set() if name in store.SHIPPED else set(own.columns)
    columns = []
    for column in sorted(table.columns, key=lambda name: _place(table.described[name])):
        dataset, metric, budget = table.described[column]
        values = table.accuracy(dataset, metric, budget)
        row: dict[str, Any] = {
            "column": column.removeprefix(f"{NO_DATASET}/"),
            "dataset": None if dataset == NO_DATASET else dataset,
            "metric": metric,
            "budget": budget,
            "direction": table.direction(dataset, metric),
            "known": int((~np.isnan(values)).sum()),
            "runs": int((~np.isnan(table.runs(dataset, metric, budget))).sum()),
            "from": "file" if column in imported else "nasforge",
        }
        if row["direction"] and row["known"]:
            best = int(np.nanargmin(values) if row["direction"] == "min" else np.nanargmax(values))
            row |= {
                "best": round(float(values[best]), 4),
                "best_index": best,
                "best_key": table.key(best),
                "best_notation": table.notation(best),
            }
        columns.append(row)
    return {
        "name": name,
        "space": table.space,
        "options": table.meta.get("options", {}),
        "rows": len(table),
        "source": own.meta.get("source", ""),
        "seeds": list(table.seeds),
        "columns": columns,
    }


def _own_name(path: Path) -> str:
    """Return the name of a file or folder up to its first dot."""
    full = path.name if path.name.strip(".") else path.resolve().name
    name = full.split(".")[0]
    if not store.is_name(name):
        raise TableError(f"{path}: {full!r} does not begin with a name for a table. Add --name NAME.")
    return name


def _place(column: tuple[str, str, int | None]) -> tuple[str, bool, str, int]:
    """Return what sorts columns: accuracies first, short budgets first."""
    dataset, metric, budget = column
    return dataset, metric not in ("valid_accuracy", "test_accuracy"), metric, budget or 0


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
            told = (
                "a folder is read as a NATS-Bench archive, which" if path.is_dir() else "a NATS-Bench archive"
            )
            raise TableError(
                f"{path}: {told} runs code stored in it (pickle). If it is one and you trust where it comes "
                "from, add --trust."
            )
        return read_api(open_api(path), report)
    return read_nasbench201(path)
