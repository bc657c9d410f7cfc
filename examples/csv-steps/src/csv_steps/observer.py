"""The observer: which calls become rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasforge.component import Stage
from nasforge.observer import Observer

from csv_steps.config import CsvStepsObserverConfig
from csv_steps.table import Table

__all__ = ["CsvStepsObserver"]


class CsvStepsObserver(Observer[CsvStepsObserverConfig]):
    """A row per step of a run, or per run of a bench, with a column per metric."""

    def setup(self, folder: Path) -> None:
        """Continue the file, if there is one.

        Args:
            folder: Folder of the run or bench.
        """
        super().setup(folder)
        self.table = Table(folder / self.config.path)

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Write the row of a step.

        Args:
            stage: Name of the stage.
            step: Number of finished steps, from 1.
            metrics: Measurements of the step.
            arch: Notation of the current architecture, if there is one.
        """
        self._add({"stage": stage, "step": step}, arch, metrics)

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """Write the row of a run of a bench.

        Args:
            done: Number of finished runs.
            total: Number of runs in all.
            result: Result of this run.
        """
        row = {name: result[name] for name in ("searcher", "seed", "score")}
        self._add(row, result.get("notation"), result.get("metrics", {}))

    def _add(self, row: dict[str, Any], notation: str | None, metrics: Mapping[str, float]) -> None:
        if self.config.notation:
            row["architecture"] = notation or ""
        self.table.add({**row, **metrics})
