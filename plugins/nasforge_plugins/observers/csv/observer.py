"""Write metrics as CSV files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nasforge.component import Stage
from nasforge.observer import Observer
from nasforge_plugins.observers.csv.config import CsvConfig
from nasforge_plugins.observers.csv.csv_file import CsvFile

__all__ = ["Csv"]


class Csv(Observer[CsvConfig]):
    """A file per stage with a row per step: ``search.csv``, ``train.csv``; ``bench.csv`` has a row per run.

    A step that is repeated after a restart replaces its row. A metric that comes later gets a column of its
    own, which is empty before.
    """

    def __init__(self, config: CsvConfig | None = None) -> None:
        super().__init__(config)
        self._files: dict[str, CsvFile] = {}

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Write a finished step."""
        file = self._file(stage)
        file.forget(lambda row: int(row["step"]) >= step)
        file.append({"step": step, **metrics, **({} if arch is None else {"arch": arch})})

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """Write the result of a run of a bench; its metrics have columns of their own."""
        values = {k: v for k, v in result.items() if isinstance(v, str | int | float | None)}
        key = {"searcher": str(result["searcher"]), "seed": str(result["seed"])}
        file = self._file("bench")
        file.forget(lambda row: key.items() <= row.items())
        file.append({**values, **result.get("metrics", {})})

    def _file(self, name: str) -> CsvFile:
        if name not in self._files:
            path = self.folder / self.config.path / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.csv"
            self._files[name] = CsvFile(path)
        return self._files[name]
