"""Displays of a run: bars, or one line per step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nasforge.component import Stage
from nasforge.config import PluginConfig
from nasforge.observer import Observer, describe_duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["Bars", "Lines", "ProgressDisplay", "describe_duration", "describe_metrics"]


class ProgressDisplay(Observer[PluginConfig]):
    """Progress and pace of a stage; the subclasses show them.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._since = clock()
        self._steps = 0
        self._total: int | None = None
        self._share = 0.0
        self._first: float | None = 0.0
        self._prepared: float | None = None
        self._forecast: dict[Stage, float] = {}
        self._stage: Stage | None = None
        self._begun = self._heard = self._since
        self._at_begin = 0.0

    def forecast(self, forecast: Mapping[str, Any]) -> None:
        """Take note of the time of each stage."""
        stages = forecast.get("stages", ())
        self._forecast = {s["stage"]: s["seconds"] for s in stages if s.get("seconds") is not None}

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """Begin to measure the stage."""
        self._since = self._clock()
        self._steps, self._total, self._share, self._prepared = done, total, 0.0, None
        # A stage of unknown length may resume in the middle of its only step.
        self._first = self._over if total is not None else None
        self._stage, self._begun, self._heard, self._at_begin = stage, self._since, self._since, self._over

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Take note of the end."""
        self._stage = None

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Take note of the share of the step, or of what comes before it, that is over."""
        self._heard = self._clock()
        prepared = values.get("prepared")
        if prepared is not None:
            self._prepare(float(prepared))
            return
        self._share = float(values.get("done", self._share))
        if self._first is None:
            # What lies before may stem from an earlier process: the pace is measured from here.
            self._first, self._since = self._over, self._clock()
            self._at_begin = self._over

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Take note of the step."""
        self._heard = self._clock()
        self._steps = step
        if self._total is not None:
            self._share = 0.0

    def close(self) -> None:
        """Leave the terminal as it was."""

    def _prepare(self, share: float) -> None:
        """Measure the pace of a preparation by itself: steps have another."""
        begins, ends = self._prepared is None, share >= 1
        self._prepared = None if ends else share
        if begins or ends:
            self._first, self._since = self._over, self._clock()

    @property
    def _over(self) -> float:
        """The share that is over, from 0 to 1, of the stage or of what comes before its next step."""
        if self._prepared is not None:
            return self._prepared
        if self._total is None:
            return self._share
        return min(1.0, (self._steps + self._share) / max(1, self._total))

    def _percent(self) -> str:
        return f"{'preparing, ' if self._prepared is not None else ''}{100 * self._over:.0f} %"

    @property
    def _left(self) -> float | None:
        """Seconds left at the pace of this process, or by the forecast; None while both are unknown.

        A stage of parts that differ, such as a warm-up before long epochs, would look short at the pace of
        the first. So what was forecast counts until the stage has taken that long.
        """
        now, total = self._clock(), self._forecast.get(self._stage or "")
        if total is not None and self._over < 1:
            share = (self._over - self._at_begin) / (1 - self._at_begin) if self._prepared is None else 0.0
            left = max(total, self._heard - self._begun) * (1 - share) - (now - self._heard)
            if left > 0:
                return left
        advanced = self._over - (self._over if self._first is None else self._first)
        if advanced <= 0 or self._over >= 1:
            return None
        return (now - self._since) / advanced * (1 - self._over)


class Lines(ProgressDisplay):
    """Writes a line when a stage begins, per step, when it ends, and now and then inside a long step.

    A thread writes the line of a step that reports nothing for twice the pause.

    Args:
        clock: Seconds that only grow.
        pause: Seconds between two lines inside a step.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, pause: float = 30.0) -> None:
        super().__init__(clock)
        self._pause = pause
        self._last_line = clock()
        self._closed = threading.Event()
        self._writing = threading.RLock()

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """Name the run, and begin to watch for silence."""
        self._write_line(f"run {name}")
        if self._pause > 0:
            threading.Thread(target=self._watch, name="progress lines", daemon=True).start()

    def forecast(self, forecast: Mapping[str, Any]) -> None:
        """Write the forecast."""
        super().forecast(forecast)
        for line in forecast.get("text", ()):
            self._write_line(line)

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """Report that a stage begins or resumes."""
        super().stage_start(stage, done, total)
        of = f" of {total}" if total is not None else ""
        self._write_line(f"{stage}: resumes after step {done}{of}" if done else f"{stage}: begins")

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Say how far a long step is, if nothing was said for a while."""
        super().progress(stage, values)
        if self._clock() - self._last_line >= self._pause:
            over = f"{stage}: {self._percent()}"
            self._write_line(_join(over, describe_metrics(values), self._time_left()))

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Say what the step measured."""
        super().step(stage, step, metrics, arch)
        number = f"{step}/{self._total}" if self._total is not None else str(step)
        self._write_line(
            _join(f"{stage} {number}", describe_metrics(metrics), self._time_left(), _shorten(arch))
        )

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Say that the stage is over."""
        super().stage_end(stage, result, skipped)
        self._write_line(_stage_end(stage, result, skipped))

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def write_heartbeat(self) -> None:
        """Write how far the stage is, if nothing was written for twice the pause."""
        with self._writing:
            stage = self._stage
            if stage is not None and self._clock() - self._last_line >= 2 * self._pause:
                self._write_line(_join(f"{stage}: {self._percent()}", self._time_left()))

    def _watch(self) -> None:
        while not self._closed.wait(self._pause / 4):
            self.write_heartbeat()

    def _time_left(self) -> str:
        return f"{describe_duration(self._left)} left" if self._left is not None else ""

    def _write_line(self, line: str) -> None:
        with self._writing:
            self._last_line = self._clock()
            print(line, flush=True)


class Bars(ProgressDisplay):
    """Draws a bar per stage, with the metrics of the last step and the current architecture below.

    Args:
        console: Where to draw; default: the terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[number]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            refresh_per_second=4,
        )
        self._task = self._bars.add_task("", total=None, number="", left="", note="", visible=False)

    def run_start(self, name: str, resolved: Mapping[str, Any]) -> None:
        """Name the run and begin to draw."""
        self._bars.console.print(f"run {name}", markup=False, highlight=False)
        self._bars.start()

    def forecast(self, forecast: Mapping[str, Any]) -> None:
        """Write the forecast above the bar."""
        super().forecast(forecast)
        for line in forecast.get("text", ()):
            self._print(line)

    def stage_start(self, stage: Stage, done: int, total: int | None) -> None:
        """Begin a new bar."""
        super().stage_start(stage, done, total)
        self._bars.reset(self._task, description=stage, total=1.0, visible=True, number="", left="", note="")
        self._draw()

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Move the bar."""
        super().progress(stage, values)
        self._draw(describe_metrics(values))

    def step(self, stage: Stage, step: int, metrics: Mapping[str, float], arch: str | None) -> None:
        """Move the bar, and write the step's line above it."""
        super().step(stage, step, metrics, arch)
        number = f"{step}/{self._total}" if self._total is not None else str(step)
        self._print(_join(f"{stage} {number}", describe_metrics(metrics), _shorten(arch)))
        self._draw()

    def stage_end(self, stage: Stage, result: Mapping[str, Any], skipped: bool) -> None:
        """Replace the bar by a line."""
        super().stage_end(stage, result, skipped)
        self._bars.update(self._task, visible=False)
        self._print(_stage_end(stage, result, skipped))

    def close(self) -> None:
        """Stop drawing."""
        self._bars.stop()

    def _print(self, line: str) -> None:
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, note: str | None = None) -> None:
        steps = self._total is not None and self._prepared is None
        number = f"{self._steps}/{self._total}" if steps else self._percent()
        left = f"{describe_duration(self._left)} left" if self._left is not None else ""
        fields: dict[str, Any] = {"number": number, "left": left, **({} if note is None else {"note": note})}
        unknown = self._total is None and not self._share
        self._bars.update(self._task, total=None if unknown else 1.0, completed=self._over, **fields)


def describe_metrics(values: Mapping[str, float]) -> str:
    """Write metrics on one line: ``loss 1.23, accuracy 45.6``."""
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.4g}"
        for name, value in values.items()
        if name not in ("done", "prepared") and isinstance(value, int | float)
    )


def _stage_end(stage: Stage, result: Mapping[str, Any], skipped: bool) -> str:
    if skipped:
        return f"{stage}: was done before"
    seconds = result.get("seconds")
    return (
        f"{stage}: done in {describe_duration(float(seconds))}" if seconds is not None else f"{stage}: done"
    )


def _shorten(arch: str | None, width: int = 100) -> str:
    text = arch or ""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _join(*texts: str) -> str:
    return "  ".join(text for text in texts if text)
