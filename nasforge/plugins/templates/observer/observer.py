"""The observer: the calls of a run or a bench that it uses."""

from collections.abc import Mapping
from typing import Any

from nasforge.component import Stage
from nasforge.observer import Observer
from nasforge.plugins.templates.observer.config import TemplateObserverConfig

__all__ = ["TemplateObserver"]


class TemplateObserver(Observer[TemplateObserverConfig]):
    """Notes in a text file: a line per step, per finished stage, and per run of a bench.

    All calls are listed in `nasforge.observer.Observer`. Those that are not overridden do nothing.
    """

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Write the metrics of a step.

        Args:
            stage: Name of the stage.
            step: Number of finished steps, from 1.
            metrics: Measurements of the step.
            arch: Notation of the current architecture, if there is one.
        """
        if step % self.config.every == 0:
            values = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            self._note(f"{stage} {step}: {values}")

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Write that a stage is finished, unless an earlier process did it.

        Args:
            stage: Name of the stage.
            result: Content of its result.json.
            skipped: Whether an earlier process had finished it.
        """
        if not skipped:
            self._note(f"{stage} is finished")

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """Write the score of a run of a bench.

        Args:
            done: Number of finished runs.
            total: Number of runs in all.
            result: Result of this run.
        """
        if done % self.config.every == 0:
            self._note(f"{done} of {total}: {result['searcher']} {result['score']:.4g}")

    def _note(self, line: str) -> None:
        with (self.folder / self.config.path).open("a", encoding="utf8") as file:
            file.write(line + "\n")
