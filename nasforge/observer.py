"""Observers of runs and benches: progress bars, logs, notifications."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from nasforge.component import Stage
from nasforge.config import PluginConfig
from nasforge.plugins import capability
from nasforge.plugins.masking import mask_options

__all__ = ["Observer", "Observers", "TerminalObserver", "describe_duration"]

C = TypeVar("C", bound=PluginConfig)


class Observer(Generic[C]):
    """Callbacks of a run or a bench. Override the ones you need.

    Life cycle: ``__init__`` stores the options and does nothing else. `setup` comes first, when the folder
    exists, and `close` last, also after an error or an interrupt. In between:

    - a run calls `run_start`, `forecast` before the first stage and again when the architecture is known (if
      an observer overrides it), then for each stage `stage_start`, any number of `progress` and `step`, and
      `stage_end`, and at last `run_end`. A stage that an earlier process has finished has `stage_end` only.
      Stages may be added in later versions: accept any name.
    - a bench calls `bench_start`, `bench_run_end` after every run, and `bench_end`.

    An observer never changes a result. It gets copies, must leave the global random generators alone, and is
    dropped with a warning when it raises an exception; the run continues.

    Args:
        config: The options, already validated. Observers without options may be made without.

    Attributes:
        folder: Folder of the run or bench; set by `setup`.
    """

    folder: Path

    def __init__(self, config: C | None = None) -> None:
        self.config = cast("C", PluginConfig()) if config is None else config

    def setup(self, folder: Path) -> None:
        """Prepare for a run or a bench.

        Args:
            folder: Its folder. Files of the observer belong there, unless an option says otherwise.
        """
        self.folder = folder

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """A run begins or continues.

        Args:
            name: Name of the run.
            resolved: The whole recipe, defaults included. Texts of options that look like secrets are masked.
        """

    def forecast(self, forecast: Mapping[str, Any]) -> None:
        """The time and memory of the stages that are left have been estimated.

        Forecasts take seconds, so they are made only for runs with an observer that overrides this.

        Args:
            forecast: As in ``forecast.json``: ``"seconds"``, ``"ends"`` (local time, ISO 8601), ``"stages"``
                with ``"stage"``, ``"seconds"`` and ``"memory_mib"`` each, ``"profiles"`` that take less, and
                ``"text"``, a list of lines to print. Values are None where the work is unknown.
        """

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """A stage begins or continues.

        Args:
            stage: Name of the stage.
            done: Number of steps that earlier processes have made.
            total: Number of steps in all, if known.
        """

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Progress inside a step.

        Args:
            stage: Name of the stage.
            values: Metrics, and ``"done"``, the finished share of the step from 0 to 1. With ``"prepared"``
                instead, the finished share of what precedes the first step, such as the training of a
                supernet.
        """

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """A step is finished and checkpointed.

        Args:
            stage: Name of the stage.
            step: Number of finished steps of this stage, from 1.
            metrics: Measurements of the step.
            arch: Notation of the current architecture, if there is one.
        """

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """A stage is finished.

        Args:
            stage: Name of the stage.
            result: Content of its ``result.json``.
            skipped: Whether an earlier process had finished it.
        """

    def run_end(self, result: Mapping[str, Any]) -> None:
        """A run is finished.

        Args:
            result: Result of the last stage.
        """

    def bench_start(self, name: str, done: int, total: int) -> None:
        """A bench begins or continues.

        Args:
            name: Name of the bench.
            done: Number of runs that earlier processes have made.
            total: Number of runs in all.
        """

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """A run of a bench is finished and stored.

        Args:
            done: Number of finished runs.
            total: Number of runs in all.
            result: Result of this run, with ``"searcher"``, ``"seed"`` and ``"score"``.
        """

    def bench_end(self, standings: Sequence[Mapping[str, Any]]) -> None:
        """A bench is finished.

        Args:
            standings: One row per searcher, as in ``summary.json``.
        """

    def close(self) -> None:
        """Release files, connections and the terminal."""


@capability("observer")
class TerminalObserver(Observer[C]):
    """An observer for people at a terminal: commands attach it unless the recipe chooses its observers."""


class Observers(Observer[PluginConfig]):
    """Pass every call to several observers; one that raises is reported once and dropped.

    Args:
        observers: The observers, in the order of the calls.
    """

    def __init__(self, observers: Iterable[Observer[Any]] = ()) -> None:
        super().__init__()
        self._observers = list(observers)
        self._is_set_up = False

    def _notify(self, event: str, *args: Any) -> None:
        for observer in tuple(self._observers):
            try:
                # A copy each, so that no observer can change a result.
                getattr(observer, event)(*deepcopy(args))
            except Exception as error:
                self._observers.remove(observer)
                with suppress(Exception):
                    observer.close()
                name = type(observer).__name__
                warnings.warn(f"observer {name} failed and is dropped: {error!r}", stacklevel=3)

    def setup(self, folder: Path) -> None:
        """Pass on."""
        self._is_set_up = True
        self._notify("setup", folder)

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """Pass on."""
        self._notify("run_start", name, mask_options(resolved))

    def handles(self, event: str) -> bool:
        """Return whether an observer overrides a method.

        Args:
            event: Name of the method.
        """
        return any(getattr(type(one), event) is not getattr(Observer, event) for one in self._observers)

    def forecast(self, forecast: Mapping[str, Any]) -> None:
        """Pass on."""
        self._notify("forecast", forecast)

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """Pass on."""
        self._notify("stage_start", stage, done, total)

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Pass on."""
        self._notify("progress", stage, values)

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Pass on."""
        self._notify("step", stage, step, metrics, arch)

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Pass on."""
        self._notify("stage_end", stage, result, skipped)

    def run_end(self, result: Mapping[str, Any]) -> None:
        """Pass on."""
        self._notify("run_end", result)

    def bench_start(self, name: str, done: int, total: int) -> None:
        """Pass on."""
        self._notify("bench_start", name, done, total)

    def bench_run_end(self, done: int, total: int, result: Mapping[str, Any]) -> None:
        """Pass on."""
        self._notify("bench_run_end", done, total, result)

    def bench_end(self, standings: Sequence[Mapping[str, Any]]) -> None:
        """Pass on."""
        self._notify("bench_end", standings)

    def close(self) -> None:
        """Pass on, unless `setup` has never been called."""
        if self._is_set_up:
            self._notify("close")


def describe_duration(seconds: float) -> str:
    """Write a duration as a person would: ``45 s``, ``3 min``, ``2 h 05 min``, ``3 d 4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"
