"""A copy of a run that is thrown away: it does a few units of each stage's work, to time them."""

from __future__ import annotations

import gc
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from nasforge.arch import Arch
from nasforge.component import Slot, Work
from nasforge.data import DataModule, reading_only
from nasforge.evaluator import Evaluator, sample_allowed
from nasforge.observer import Observers
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import RunFolder
from nasforge.runs.scope import DERIVE, TRAIN, Scope
from nasforge.runs.slots import FileSlot
from nasforge.runtime import synchronize
from nasforge.seeding import derive_seed
from nasforge.space import SearchSpace
from nasforge.stages.runner import Run
from nasforge.training.loops import isolated_random

__all__ = ["ONCE", "TimedWork", "TrialRun", "rehearsing", "time_work"]

SCRATCH = "forecast"
"""Folder of a trial, in that of its run."""

SAMPLES = 3
"""Number of random architectures whose training is timed before the search has found one."""

ENOUGH = 0.4
"""Seconds after which no more units are timed."""

ONCE = 20.0
"""Seconds of a first unit that is not repeated, although it includes what is built once; the default."""

SHARE = 0.02
"""Share of all units that is timed at most, as long as that is two."""


class TimedWork(NamedTuple):
    """Units of work with their measured time.

    Attributes:
        name: Plural noun for the units.
        units: Number of units that are left.
        seconds: Wall-clock time of a unit.
    """

    name: str
    units: float
    seconds: float


class TrialRun(Run):
    """A copy of a run. It shares images and space with it, and starts from its checkpoints.

    Args:
        run: The run.
        folder: Holds what the trial writes.

    Attributes:
        origin: Folder of the run; checkpoints are read there and never written.
        found: The architecture of later stages, if it is known.
        sampled: Whether a stage was forecast for random architectures.
    """

    def __init__(self, run: Run, folder: RunFolder) -> None:
        super().__init__(run.recipe, folder, run.runtime, Observers(()))
        self._run, self.origin = run, run.folder.path
        self.results = dict(run.results)
        derived = run.results.get(DERIVE.stage)
        self.found = None if derived is None else Arch(derived["architecture"])
        self.sampled = False

    @cached_property
    def space(self) -> SearchSpace[Any]:
        """The space of the run."""
        return self._run.space

    @cached_property
    def data(self) -> DataModule[Any]:
        """The images of the run."""
        return self._run.data

    def slot(self, scope: Scope, name: str, clock: StageClock | None = None) -> Slot:
        """Return a slot that loads what the run has saved, and saves elsewhere."""
        origin = self.origin / (scope.slots_of or scope.stage) / "slots"
        return _CopiedSlot(FileSlot(origin, name), super().slot(scope, name))

    def mean_work(
        self, of: Callable[[Arch], Sequence[Work] | None], evaluator: Evaluator[Any]
    ) -> list[Work] | None:
        """Return the work for the found architecture; before the search, the mean over a few random ones.

        Args:
            of: Returns the work for an architecture; None if it is unknown.
            evaluator: Does the work.
        """
        self.sampled = self.found is None
        archs = sample_allowed(evaluator.ctx, SAMPLES) if self.found is None else [self.found]
        works = [of(arch) for arch in archs]
        if any(work is None for work in works):
            return None
        return [one.times(1 / len(archs)) for work in works for one in work or ()]


class _CopiedSlot:
    """Loads from one slot, saves to another."""

    def __init__(self, source: Slot, copy: Slot) -> None:
        self._source, self._copy, self.delete = source, copy, copy.delete

    def save(self, state: Any) -> None:
        """Write to the copy."""
        self._copy.save(state)

    def load(self) -> dict[str, Any] | None:
        """Return what the copy has, or the source."""
        state = self._copy.load()
        return self._source.load() if state is None else state


@contextmanager
def rehearsing(run: Run) -> Iterator[TrialRun]:
    """Provide a trial of a run. Afterwards random generators, threads and the run folder are as before.

    Args:
        run: The run.
    """
    path = run.folder.path / SCRATCH
    shutil.rmtree(path, ignore_errors=True)  # of a process that was killed
    path.mkdir(parents=True)
    python, numbers = random.getstate(), np.random.get_state()
    threads = torch.get_num_threads()
    torch.set_num_threads(run.recipe.run.threads or threads)
    try:
        seed = derive_seed(run.seed, "forecast")
        with isolated_random(run.runtime.device, seed), reading_only("forecast", TRAIN.reads):
            yield TrialRun(run, RunFolder(path))
    finally:
        torch.set_num_threads(threads)
        random.setstate(python)
        np.random.set_state(numbers)
        shutil.rmtree(path, ignore_errors=True)
        gc.collect()
        if run.runtime.device.type == "cuda":
            torch.cuda.empty_cache()


def time_work(
    works: Iterable[Work],
    device: torch.device,
    workers: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    once: float = ONCE,
) -> list[TimedWork]:
    """Time a few units of each work; works of one name are added up.

    Args:
        works: The work.
        device: Where it happens.
        workers: Number of workers that share what can be shared, each taken to be as fast as this process.
        clock: Seconds that only grow.
        once: Seconds of a first unit that is not repeated.
    """
    found: dict[str, TimedWork] = {}
    for work in works:
        if work.units <= 0:
            continue
        seconds = _seconds_per_unit(work, device, clock, once) / (workers if work.shared else 1)
        before = found.get(work.name, TimedWork(work.name, 0.0, 0.0))
        units = before.units + work.units
        mean = (before.units * before.seconds + work.units * seconds) / units
        found[work.name] = TimedWork(work.name, units, mean)
    return list(found.values())


def _seconds_per_unit(work: Work, device: torch.device, clock: Callable[[], float], once: float) -> float:
    started = clock()
    work.run()
    synchronize(device)
    first = clock() - started
    if work.units <= 1 or first > once:
        return first
    started, count = clock(), 0
    while True:
        work.run()
        count += 1
        passed = clock() - started
        if passed >= ENOUGH or count >= max(2, SHARE * work.units):
            break
    synchronize(device)
    return (clock() - started) / count
