"""Conformance checks of observers."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nasforge.observer import Observer
from nasforge.runs.scope import DERIVE, SEARCH, TEST, TRAIN
from nasforge.testing.common import Rule, Subject, difference, opened_files, require, scratch

__all__ = ["CHECKS"]

Event = tuple[str, tuple[Any, ...]]
"""Name of a call and its arguments."""

RECIPE = {"run": {"name": "tiny"}, "space": {"use": "tiny"}, "searcher": {"use": "tiny", "steps": 2}}
DERIVED = {"stage": DERIVE.stage, "architecture": {"op": ["conv"]}, "notation": "conv", "seconds": 0.1}
TESTED = {"stage": TEST.stage, "accuracy": 90.0, "seconds": 0.5, "fingerprint": "0"}

FORECAST = {
    "made": "2026-01-31T12:00:00",
    "took": 2.5,
    "device": "cpu",
    "seconds": None,
    "ends": None,
    "stages": [
        {"stage": SEARCH.stage, "seconds": 60.0, "memory_mib": 300.0, "sampled": False, "works": []},
        {"stage": TRAIN.stage, "seconds": None, "memory_mib": None, "sampled": True, "works": []},
    ],
    "profiles": [{"profile": "smoke", "seconds": 5.0, "problem": ""}],
    "text": ["forecast on cpu:"],
}

RUN: tuple[Event, ...] = (
    ("run_start", ("tiny", RECIPE)),
    ("forecast", (FORECAST,)),
    ("stage_start", (SEARCH.stage, 0, 2)),
    ("progress", (SEARCH.stage, {"prepared": 0.5})),
    ("progress", (SEARCH.stage, {"prepared": 1.0, "loss": 2.0})),
    ("progress", (SEARCH.stage, {"done": 0.5, "loss": 1.5})),
    ("step", (SEARCH.stage, 1, {"loss": 1.25, "params": 7}, "conv")),
    ("step", (SEARCH.stage, 2, {}, None)),
    ("stage_end", (SEARCH.stage, {"stage": SEARCH.stage, "front": [], "seconds": 1.0}, False)),
    ("stage_start", (DERIVE.stage, 0, None)),
    ("stage_end", (DERIVE.stage, DERIVED, False)),
    ("stage_start", (TRAIN.stage, 0, None)),
    ("progress", (TRAIN.stage, {"done": 0.5, "accuracy": 80.0})),
    ("step", (TRAIN.stage, 1, {"loss": 1.0, "accuracy": 85.0}, None)),
    ("stage_end", (TRAIN.stage, {"stage": TRAIN.stage, "score": None, "metrics": {}}, False)),
    ("stage_start", (TEST.stage, 0, None)),
    ("stage_end", (TEST.stage, TESTED, False)),
    ("run_end", (TESTED,)),
)

RESUMED: tuple[Event, ...] = (
    ("run_start", ("tiny", RECIPE)),
    ("stage_end", (SEARCH.stage, {"stage": SEARCH.stage, "front": []}, True)),
    ("stage_end", (DERIVE.stage, DERIVED, True)),
    ("stage_start", (TRAIN.stage, 3, 5)),
    ("step", (TRAIN.stage, 4, {"loss": 1.0}, None)),
    ("step", (TRAIN.stage, 5, {"loss": float("nan")}, None)),
    ("stage_end", (TRAIN.stage, {"stage": TRAIN.stage, "seconds": 3.0}, False)),
    ("stage_end", (TEST.stage, TESTED, True)),
    ("run_end", (TESTED,)),
)

LATER: tuple[Event, ...] = (
    ("run_start", ("tiny", RECIPE)),
    ("stage_start", ("export", 0, 1)),
    ("progress", ("export", {"done": 0.5})),
    ("step", ("export", 1, {"bytes": 7}, None)),
    ("stage_end", ("export", {"stage": "export"}, False)),
    ("run_end", ({"stage": "export"},)),
)

FOUND = {"searcher": "control", "seed": 0, "score": 90.0, "notation": "conv", "metrics": {}, "seconds": 2.0}

BENCH: tuple[Event, ...] = (
    ("bench_start", ("tiny", 1, 3)),
    ("bench_run_end", (2, 3, FOUND)),
    ("bench_run_end", (3, 3, {**FOUND, "searcher": "other"})),
    ("bench_end", ([{"name": "control", "runs": 2, "mean": 90.0, "difference": None}],)),
)


def run_is_accepted(subject: Subject) -> None:
    """Every call of a run works, with and without totals, metrics and architectures."""
    _watch(subject, RUN)


def resumed_run_is_accepted(subject: Subject) -> None:
    """A run may continue: skipped stages have no beginning, and steps do not start at 1."""
    _watch(subject, RESUMED)


def later_stages_are_accepted(subject: Subject) -> None:
    """The name of a stage need not be known: later versions may add stages."""
    _watch(subject, LATER)


def bench_is_accepted(subject: Subject) -> None:
    """Every call of a bench works, also when it continues."""
    _watch(subject, BENCH)


def interruption_is_accepted(subject: Subject) -> None:
    """`close` works after any call: runs fail and are interrupted."""
    for events in (RUN, BENCH):
        for count in range(len(events)):
            _watch(subject, events[:count])


def results_are_not_modified(subject: Subject) -> None:
    """The arguments of a call are not changed."""
    for events in (RUN, RESUMED, BENCH):
        with _set_up(subject) as observer:
            for event, arguments in events:
                given = deepcopy(arguments)
                _call(observer, event, given)
                changed = difference(given, arguments, event)
                require(not changed, f"it changes {changed}. Copy what is to be changed.")


def global_rng_is_unused(subject: Subject) -> None:
    """The global random generators are not used: a run with the observer has the results of one without."""

    def states() -> dict[str, Any]:
        _, numbers, position, *_ = np.random.get_state(legacy=True)
        return {
            "torch": torch.get_rng_state(),
            "random": random.getstate(),
            "numpy": [list(numbers), position],
        }

    for events in (RUN, BENCH):
        before = states()
        _watch(subject, events)
        after = states()
        changed = [name for name in before if difference(before[name], after[name])]
        require(
            not changed,
            f"it uses the global random generator of {' and '.join(changed)}. Make one of its own, such as "
            "random.Random(0).",
        )


def files_stay_in_the_folder(subject: Subject) -> None:
    """Files are written in the folder of the run, or where an option says."""
    for events in (RUN, BENCH):
        with opened_files(writing=True) as written:
            folder, observer = _watch(subject, events)
        named = [folder / value for _, value in observer.config if isinstance(value, Path | str) and value]
        allowed = [path.resolve() for path in (folder, *named)]
        outside = [
            path
            for path in dict.fromkeys(written)
            if not path.isdecimal()
            and not _is_device(Path(path))
            and not any(Path(path).resolve().is_relative_to(a) for a in allowed)
        ]
        require(
            not outside,
            f"it writes {', '.join(outside[:3])}. Put files into self.folder, or let an option name one.",
        )


def _is_device(path: Path) -> bool:
    """Return whether a path is one of a device, such as /dev/null; /dev/shm holds files."""
    return path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm")


CHECKS: tuple[Rule, ...] = (
    run_is_accepted,
    resumed_run_is_accepted,
    later_stages_are_accepted,
    bench_is_accepted,
    interruption_is_accepted,
    results_are_not_modified,
    global_rng_is_unused,
    files_stay_in_the_folder,
)


@contextmanager
def _set_up(subject: Subject) -> Iterator[Observer[Any]]:
    """Provide the observer in a folder of its own; what it prints is dropped."""
    with scratch() as folder, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        observer: Observer[Any] = subject.make()
        _call(observer, "setup", (folder,))
        yield observer
        _call(observer, "close", ())


def _watch(subject: Subject, events: Sequence[Event]) -> tuple[Path, Observer[Any]]:
    """Make the calls of a run or a bench; return the folder, which is gone, and the observer."""
    with _set_up(subject) as observer:
        for event, arguments in events:
            _call(observer, event, deepcopy(arguments))
        return observer.folder, observer


def _call(observer: Observer[Any], event: str, arguments: tuple[Any, ...]) -> None:
    try:
        getattr(observer, event)(*arguments)
    except Exception as error:
        shown = ", ".join(map(repr, arguments))
        require(False, f"{event}({shown[:100]}) raises {type(error).__name__}: {error}.")
