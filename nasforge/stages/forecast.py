"""Forecast of a run: time and memory of the stages that are left, from a few units of their work."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from nasforge.component import Stage as StageName
from nasforge.errors import CheckpointError, NasforgeError, describe_system_error
from nasforge.files import read_json
from nasforge.observer import Observers, describe_duration
from nasforge.recipe import Recipe
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.runtime.peak_memory import PeakMemory
from nasforge.stages.runner import Run
from nasforge.stages.stage import Stage
from nasforge.stages.trial import ONCE, SCRATCH, TimedWork, TrialRun, rehearsing, time_work

__all__ = [
    "FILE",
    "Forecast",
    "Forecaster",
    "ProfileForecast",
    "StageForecast",
    "forecast_profiles",
    "forecast_recipe",
    "forecast_run",
]

FILE = "forecast.json"
"""File with the forecasts of a run, in its folder."""

LONG = 3600.0
"""Seconds from which a run names the profiles of its recipe that take less."""


@dataclass(frozen=True)
class StageForecast:
    """Forecast of one stage.

    Attributes:
        stage: Name of the stage.
        seconds: Wall-clock time; None if its work is unknown.
        memory_mib: Peak memory, of the accelerator or of the process; None if unknown.
        sampled: Whether random architectures were timed because the search has not found one yet.
        works: Units and seconds per unit.
    """

    stage: StageName
    seconds: float | None
    memory_mib: float | None = None
    sampled: bool = False
    works: Sequence[TimedWork] = ()


@dataclass(frozen=True)
class ProfileForecast:
    """Time of a run with another profile; ``problem`` says why it is unknown."""

    profile: str
    seconds: float | None
    problem: str = ""


@dataclass(frozen=True)
class Forecast:
    """Forecast of the stages of a run that are left.

    Attributes:
        stages: The stages that take more than a moment.
        device: Where they compute.
        made: Local time of the forecast.
        took: Seconds that it took.
        profiles: Profiles of the recipe that take less.
    """

    stages: Sequence[StageForecast]
    device: str
    made: datetime
    took: float = 0.0
    profiles: Sequence[ProfileForecast] = ()

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of all stages; None if that of one is unknown."""
        known = [one.seconds for one in self.stages if one.seconds is not None]
        return sum(known) if len(known) == len(self.stages) else None

    @property
    def ends(self) -> datetime | None:
        """Local time of the end; None if it is unknown or beyond all calendars."""
        if self.seconds is None:
            return None
        try:
            return self.made + timedelta(seconds=self.seconds)
        except OverflowError:
            return None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, see `nasforge.observer.Observer.forecast`."""
        return {
            "made": self.made.isoformat(timespec="seconds"),
            "took": round(self.took, 3),
            "device": self.device,
            "seconds": self.seconds,
            "ends": None if self.ends is None else self.ends.isoformat(timespec="seconds"),
            "stages": [{**asdict(s), "works": [w._asdict() for w in s.works]} for s in self.stages],
            "profiles": [asdict(profile) for profile in self.profiles],
            "text": self.lines(),
        }

    def lines(self) -> list[str]:
        """Return the forecast in words, a line per stage; none if no stage takes more than a moment."""
        if not self.stages:
            return []
        rows = [(s.stage, _time(s.seconds), _memory(s.memory_mib), _remark(s)) for s in self.stages]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"forecast on {self.device}:"]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append(f"  {'  '.join(cells)}".rstrip())
        if self.ends is not None and self.seconds is not None:
            lines.append(f"  ends {_moment(self.ends, self.made)}, after {_time(self.seconds)}")
        for profile in self.profiles:
            time_or_problem = profile.problem or _time(profile.seconds)
            lines.append(f"  with --profile {profile.profile}: {time_or_problem}")
        return lines


def _time(seconds: float | None) -> str:
    return "time unknown" if seconds is None else f"about {describe_duration(seconds)}"


def _memory(mib: float | None) -> str:
    if mib is None:
        return ""
    return f"{mib / 1024:.1f} GiB" if mib >= 1000 else f"{mib:.0f} MiB"


def _remark(stage: StageForecast) -> str:
    if stage.seconds is None:
        return "its parts do not name their work"
    return "mean of random architectures" if stage.sampled else ""


def _moment(end: datetime, now: datetime) -> str:
    if end.date() == now.date():
        return f"at {end:%H:%M}"
    return f"on {end:%a} {end.day} {end:%b}{'' if end.year == now.year else f' {end.year}'} at {end:%H:%M}"


def forecast_run(
    run: Run,
    stages: Iterable[Stage],
    clock: Callable[[], float] = time.perf_counter,
    once: float = ONCE,
) -> Forecast:
    """Time a few units of the work of each stage, on a copy that is thrown away.

    Nothing of the run changes: neither its files nor its random generators nor the state of its components.

    Args:
        run: The run; the results of finished stages are known.
        stages: The stages that are left, in order.
        clock: Clock of the units; `time.process_time` leaves out what other programs take.
        once: Seconds of a first unit of work that is not repeated.
    """
    started, device = time.monotonic(), run.runtime.device
    found = []
    with rehearsing(run) as trial:
        for stage in stages:
            found.append(_forecast_stage(stage, trial, clock, once))
    known = [one for one in found if one.seconds is None or one.works]
    threads = run.recipe.run.threads
    where = f"{device} with {threads} thread{'s' * (threads > 1)}" if threads else str(device)
    return Forecast(known, where, datetime.now(), time.monotonic() - started)


def _forecast_stage(stage: Stage, trial: TrialRun, clock: Callable[[], float], once: float) -> StageForecast:
    memory, device = PeakMemory(trial.runtime.device), trial.runtime.device
    trial.sampled = False
    works = stage.workload(trial)
    if works is None:
        return StageForecast(stage.name, None)
    timed = time_work(works, device, trial.recipe.run.workers, clock, once)
    seconds = sum(work.units * work.seconds for work in timed)
    return StageForecast(stage.name, seconds, memory.read(), trial.sampled, timed)


class Forecaster:
    """Makes the forecasts of a run before its stages begin, passes them to its observers and stores them.

    A forecast that fails is a warning: it costs no run.

    Args:
        observers: Receive the forecasts.
        reread: Returns the recipe of the run with another profile.
        clock: See `forecast_run`.
    """

    def __init__(
        self,
        observers: Observers,
        reread: Callable[[str], Recipe],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._observers, self._reread, self._clock = observers, reread, clock
        self._guessed: frozenset[StageName] | None = None

    def announce(self, run: Run, stage: Stage) -> None:
        """Make a forecast before the first stage, and before one that was forecast without its architecture.

        Args:
            run: The run.
            stage: The stage that is about to begin.
        """
        if not run.recipe.run.forecast or not self._observers.handles("forecast"):
            return
        first = self._guessed is None
        if not first and stage.name not in (self._guessed or ()):
            return
        self._guessed = frozenset()
        try:
            forecast = forecast_run(run, _stages_from(run, stage), self._clock)
            if first and (forecast.seconds or 0.0) > LONG:
                cheaper = forecast_profiles(run, self._reread, forecast.seconds)
                forecast = replace(forecast, profiles=cheaper)
        except Exception as error:
            warnings.warn(f"forecast: cannot be made: {_reason(error)}", stacklevel=2)
            return
        self._guessed = frozenset(one.stage for one in forecast.stages if one.sampled)
        shown = forecast.to_json()
        run.folder.store_file("", FILE, {"forecasts": [*_stored(run), shown]})
        self._observers.forecast(shown)


def _stages_from(run: Run, first: Stage | None = None) -> list[Stage]:
    """Return the stages that a run has, from one of them on."""
    from nasforge.stages import STAGES

    stages = [stage for stage in STAGES if stage.needed({*run.recipe.parts, *run.resolved})]
    return stages if first is None else stages[stages.index(first) :]


def forecast_recipe(recipe: Recipe, reread: Callable[[str], Recipe], folder: Path) -> Forecast:
    """Forecast a recipe that is not run, and its profiles if it takes long.

    Args:
        recipe: The recipe.
        reread: Returns it with another profile.
        folder: A folder for what is written meanwhile.
    """
    run = Run(recipe, RunFolder(folder), Runtime.of(recipe.run), Observers(()))
    forecast = forecast_run(run, _stages_from(run))
    if (forecast.seconds or 0.0) <= LONG:
        return forecast
    return replace(forecast, profiles=forecast_profiles(run, reread, forecast.seconds))


def forecast_profiles(
    run: Run, reread: Callable[[str], Recipe], limit: float | None
) -> list[ProfileForecast]:
    """Forecast the other profiles of a recipe, and return those that take less time; the fastest comes last.

    Args:
        run: The run.
        reread: Returns its recipe with another profile.
        limit: Seconds that a profile must stay below; None for any.
    """
    found = []
    for name in run.recipe.profiles:
        place = run.folder.path / f"{SCRATCH}-{name}"
        try:
            recipe = reread(name)
            other = Run(
                recipe, RunFolder(place), Runtime.of(recipe.run, str(run.runtime.device)), Observers(())
            )
            seconds, problem = forecast_run(other, _stages_from(other)).seconds, ""
        except Exception as error:
            seconds, problem = None, f"cannot be forecast: {_reason(error)}"
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if problem or seconds is None or limit is None or seconds < limit:
            found.append(ProfileForecast(name, seconds, problem))
    return sorted(found, key=lambda one: -(one.seconds if one.seconds is not None else float("inf")))


def _reason(error: Exception) -> str:
    if isinstance(error, NasforgeError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory."
    if isinstance(error, OSError):
        return describe_system_error(error)
    return f"{type(error).__name__}: {error}"


def _stored(run: Run) -> Sequence[Mapping[str, Any]]:
    path = run.folder.path / FILE
    if not path.exists():
        return []
    try:
        earlier = read_json(path).get("forecasts", [])
    except CheckpointError:  # no result depends on it
        return []
    return earlier if isinstance(earlier, list) else []
