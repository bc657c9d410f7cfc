"""Who watches a run: progress bars, logs, guards."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from nasforge.component import Stage

__all__ = ["Observer", "Observers"]


class Observer:
    """Told about a run as it goes; override what is of interest. An observer that raises is dropped.

    Calls come in this order: `run_start`, then per stage `stage_start`, any number of `progress` and `step`,
    `stage_end`, and at last `run_end`.
    """

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """A run begins or goes on.

        Args:
            name: The run's name.
            resolved: The whole recipe, defaults included.
        """

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """A stage begins or goes on.

        Args:
            stage: Its name.
            done: Steps made before, in an earlier process.
            total: Steps in all, if known.
        """

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Something happened inside a step; ``values["done"]`` is the share of it that is over.

        With ``values["prepared"]`` instead, it is the share of what must be over before the step can begin,
        such as a supernet that is trained once.
        """

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """A step has ended and is checkpointed.

        Args:
            stage: Its stage.
            step: How many steps of this stage are over, from 1.
            metrics: What the step measured.
            arch: Notation of the current architecture, if there is one.
        """

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """A stage has its result.

        Args:
            stage: Its name.
            result: What it stored.
            skipped: Whether an earlier process had done it already.
        """

    def run_end(self, result: Mapping[str, Any]) -> None:
        """The run is over.

        Args:
            result: The last stage's result.
        """


class Observers(Observer):
    """Passes every call on; an observer that raises is reported once and dropped, the run goes on.

    Args:
        observers: Whom to tell.
    """

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)

    def _tell(self, event: str, *args: Any) -> None:
        for observer in tuple(self._observers):
            try:
                getattr(observer, event)(*args)
            except Exception as error:
                self._observers.remove(observer)
                name = type(observer).__name__
                warnings.warn(f"observer {name} failed and is dropped: {error!r}", stacklevel=3)

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """Pass on."""
        self._tell("run_start", name, resolved)

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """Pass on."""
        self._tell("stage_start", stage, done, total)

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Pass on."""
        self._tell("progress", stage, values)

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Pass on."""
        self._tell("step", stage, step, metrics, arch)

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Pass on."""
        self._tell("stage_end", stage, result, skipped)

    def run_end(self, result: Mapping[str, Any]) -> None:
        """Pass on."""
        self._tell("run_end", result)
