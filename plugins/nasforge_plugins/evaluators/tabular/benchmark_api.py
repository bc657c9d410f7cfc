"""Read accuracies from the official Python interfaces of NATS-Bench and NAS-Bench-201."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nasforge.errors import ArchError
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.nasbench201 import SPACE
from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.evaluators.tabular.table import Array, Table
from nasforge_plugins.spaces.nasbench201.notation import OPERATIONS, parse_cell

__all__ = ["BenchmarkApi", "open_api", "read_api", "read_row"]

SEEDS = (111, 777, 888, 999)
LENGTHS = (12, 200)

# The sets that networks were trained on, and which columns their metrics fill. The validation accuracy of
# CIFAR-10 is that of a network trained on one half, the test accuracy that of one trained on all images.
FIELDS = {
    "cifar10-valid": {"valid-accuracy": "cifar10/valid"},
    "cifar10": {"test-accuracy": "cifar10/test"},
    "cifar100": {"valid-accuracy": "cifar100/valid", "test-accuracy": "cifar100/test"},
    "ImageNet16-120": {"valid-accuracy": "imagenet16-120/valid", "test-accuracy": "imagenet16-120/test"},
}


class BenchmarkApi(Protocol):
    """The common interface of ``NATStopology`` of nats_bench and ``NASBench201API`` of nas_201_api."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> str: ...

    def get_more_info(
        self,
        index: int,
        dataset: str,
        iepoch: int | None = None,
        hp: str = "12",
        is_random: bool | int = True,
    ) -> dict[str, Any]:
        """Return accuracies and times of one architecture after an epoch, averaged over seeds or of one."""
        ...


def open_api(path: Path) -> BenchmarkApi:
    """Open a NATS-Bench archive (topology) with the package nats_bench, which unpickles it.

    Args:
        path: ``NATS-tss-*.pickle.pbz2``, or the folder ``NATS-tss-*-simple``.

    Raises:
        TableError: The package is not installed, or it cannot read the file.
    """
    try:
        package = import_module("nats_bench")
    except ImportError:
        raise TableError(
            f"{path}: NATS-Bench archives are read by the package nats_bench, which is not installed. "
            "Run: pip install nats_bench"
        ) from None
    try:
        api: BenchmarkApi = package.create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)
    except Exception as error:  # a foreign unpickler may raise anything
        raise TableError(f"{path}: nats_bench cannot read it ({type(error).__name__}: {error}).") from None
    return api


def read_api(api: BenchmarkApi, report: Callable[[float], None] = lambda share: None) -> Table:
    """Read validation and test accuracies of every run, after 12 and 200 epochs.

    Args:
        api: An opened benchmark.
        report: Told the share that is read, from 0 to 1.

    Raises:
        TableError: The benchmark is another one, incomplete, or has accuracies outside 0 to 100.
    """
    official = load(SPACE)
    if len(api) != len(official):
        raise TableError(
            f"benchmark: has {len(api)} architectures, NAS-Bench-201 has {len(official)}. "
            "Nothing was imported. Use the topology (tss) archive."
        )
    names = [name for fields in FIELDS.values() for name in fields.values()]
    columns: dict[str, Array] = {
        f"{name}/{epochs}": np.full((len(official), len(SEEDS)), np.nan)
        for name in names
        for epochs in LENGTHS
    }
    for index in range(len(official)):
        _check_cell(api[index], index, official)
        try:
            found = read_row(api, index)
        except TableError:
            raise
        except Exception as error:  # a foreign unpickler may raise anything
            raise TableError(
                f"benchmark: architecture {index} cannot be read ({type(error).__name__}: {error}). Nothing "
                "was imported."
            ) from None
        for name, values in found.items():
            columns[name][index] = values
        if index % 100 == 99:
            report((index + 1) / len(official))
    # A length that the benchmark does not hold at all is left out; one with gaps is an error.
    kept = {name: runs for name, runs in columns.items() if not np.isnan(runs).all()}
    for name, runs in kept.items():
        if (absent := np.isnan(runs).all(1)).any():
            raise TableError(
                f"benchmark: {int(absent.sum())} of {len(official)} architectures have no {name}, the first "
                f"is index {int(absent.argmax())}. Nothing was imported."
            )
    if not kept:
        raise TableError("benchmark: holds no accuracy of NAS-Bench-201. Nothing was imported.")
    return Table(official.keys, kept, {"space": SPACE, "source": type(api).__name__, "seeds": list(SEEDS)})


def _check_cell(text: str, index: int, official: Table) -> None:
    try:
        code = "".join(str(OPERATIONS.index(name)) for name in parse_cell(text))
    except ArchError as error:
        raise TableError(f"benchmark: architecture {index} is not a NAS-Bench-201 cell: {error}") from None
    if code != official.key(index):
        raise TableError(
            f"benchmark: architecture {index} is {text!r}, which has index {official.row(code)}."
        )


def read_row(api: BenchmarkApi, index: int) -> dict[str, list[float]]:
    """Return the accuracies of one architecture by column, one per seed of `SEEDS`; nan: no such run.

    Raises:
        TableError: An accuracy is outside 0 to 100.
    """
    found: dict[str, list[float]] = {}
    for (dataset, fields), epochs, seed in product(FIELDS.items(), LENGTHS, SEEDS):
        try:
            info = api.get_more_info(index, dataset, hp=str(epochs), is_random=seed)
        except (ValueError, KeyError):  # how both interfaces say that there is no such run or length
            info = {}
        for field, name in fields.items():
            value = info.get(field)
            if value is not None and not 0 <= value <= 100:
                raise TableError(
                    f"benchmark: architecture {index}, {dataset}, seed {seed}: {field} is {value}, which is "
                    "no percentage."
                )
            found.setdefault(f"{name}/{epochs}", []).append(float("nan") if value is None else float(value))
    return found
