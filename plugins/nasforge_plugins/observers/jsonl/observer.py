"""Append the events of a run or a bench to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from nasforge.component import Stage
from nasforge.files import open_own
from nasforge.observer import Observer
from nasforge_plugins.observers.jsonl.config import JsonLinesConfig

__all__ = ["JsonLines"]


class JsonLines(Observer[JsonLinesConfig]):
    """One line of JSON per event: ``time``, ``event``, and the arguments of the call by name.

    The file is opened for each line, so that nothing is lost when the process is killed.
    """

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """Write the name of the run and its recipe."""
        self._write("run_start", name=name, resolved=resolved)

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """Write the beginning of a stage."""
        self._write("stage_start", stage=stage, done=done, total=total)

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Write progress inside a step."""
        if self.config.progress:
            self._write("progress", stage=stage, values=values)

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Write a finished step."""
        self._write("step", stage=stage, step=step, metrics=metrics, arch=arch)

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Write the result of a stage."""
        self._write("stage_end", stage=stage, result=result, skipped=skipped)

    def run_end(self, result: Mapping[str, Any]) -> None:
        """Write the end of the run."""
        self._write("run_end", result=result)

    def bench_start(self, name: str, done: int, total: int) -> None:
        """Write the beginning of a bench."""
        self._write("bench_start", name=name, done=done, total=total)

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """Write the result of a run of a bench."""
        self._write("bench_run_end", done=done, total=total, result=result)

    def bench_end(self, standings: Sequence[Mapping[str, Any]]) -> None:
        """Write the standings."""
        self._write("bench_end", standings=standings)

    def _write(self, event: str, **arguments: Any) -> None:
        path = self.folder / self.config.path
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **arguments}
        with open_own(path, "a") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
