"""Show the progress of runs and benches."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from nasforge.component import Stage
from nasforge.observer import TerminalObserver
from nasforge_plugins.observers.progress.config import ProgressConfig
from nasforge_plugins.observers.progress.display import Bars, Lines, ProgressDisplay

__all__ = ["Progress"]


class Progress(TerminalObserver[ProgressConfig]):
    """Runs: bars or lines on standard output. Benches: the number of finished runs on standard error.

    The results of a bench may be read from standard output by a program, so nothing else is written there.
    """

    _display: ProgressDisplay | None = None

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """Choose bars or lines, and name the run."""
        bars = sys.stdout.isatty() if self.config.style == "auto" else self.config.style == "bars"
        self._display = Bars() if bars else Lines(pause=self.config.pause)
        self._display.run_start(name, resolved)

    def forecast(self, forecast: Mapping[str, Any]) -> None:
        """Write the forecast."""
        if self._display:
            self._display.forecast(forecast)

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """Begin a bar."""
        if self._display:
            self._display.stage_start(stage, done, total)

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Move the bar."""
        if self._display:
            self._display.progress(stage, values)

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Move the bar, and print the metrics of the step."""
        if self._display:
            self._display.step(stage, step, metrics, arch)

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Replace the bar by a line."""
        if self._display:
            self._display.stage_end(stage, result, skipped)

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """Count: after every run in a terminal, ten times in files and pipes."""
        if sys.stderr.isatty():
            last = f"{result['searcher']}, seed {result['seed']}: {result['score']:.6g}"
            print(
                f"\r{done} of {total} runs: {last}\033[K",
                end="\n" if done == total else "",
                file=sys.stderr,
                flush=True,
            )
        elif done == total or done * 10 // total > (done - 1) * 10 // total:
            print(f"{done} of {total} runs", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._display:
            self._display.close()
            self._display = None
