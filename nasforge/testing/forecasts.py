"""Checks of the work that searchers and evaluators name, by which runs are forecast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from nasforge.component import Work
from nasforge.evaluator import Effort
from nasforge.runs.scope import SEARCH, TRAIN, Scope
from nasforge.searcher import AskTellSearcher
from nasforge.testing.common import Subject, require, scratch
from nasforge.testing.workbench import SearchDriver, Workbench

__all__ = ["evaluations_are_forecast", "searches_are_forecast"]

TOLERANCE = 0.2
"""Share by which a forecast may miss what is done."""

LIMIT = 500
"""A search with its tiny options ends before this many steps."""


def searches_are_forecast(subject: Subject) -> None:
    """``workload`` names the batches or evaluations that a search makes, and none when it has ended."""
    with scratch() as folder:
        copy = SearchDriver(subject, folder)
        works = copy.searcher.workload()
        if works is None:
            return
        promised = _read(works, copy.bench, "workload()")
        planned = sum(copy.searcher.planned().values()) if isinstance(copy.searcher, AskTellSearcher) else 0
    with scratch() as folder:
        driver = SearchDriver(subject, folder)
        while not driver.searcher.done and driver.steps < LIMIT:
            driver.step()
        _compare(promised, _batches(driver.bench), "workload()", "the search")
        if isinstance(driver.searcher, AskTellSearcher):
            made = len(driver.searcher.history)
            require(
                math.isclose(planned, made, rel_tol=TOLERANCE),
                f"planned() names {planned:g} evaluations, and the search makes {made}.",
            )
        state = driver.state()
        resumed = SearchDriver(subject, folder)
        resumed.resume(state)
        left = [f"{work.units:g} {work.name}" for work in resumed.searcher.workload() or () if work.units > 0]
        require(
            not left,
            f"workload() names {', '.join(left)} when the search has ended. Count what is left, also after "
            "load_state_dict(): a resumed run is forecast as well.",
        )


def evaluations_are_forecast(subject: Subject) -> None:
    """``workload`` names the batches that an evaluation reads; ``test_workload`` reads no test images."""
    for scope in (SEARCH, TRAIN):
        _compare_evaluation(subject, scope)
    with scratch() as folder:
        bench = Workbench(subject, folder)
        arch = bench.subject.partners.space().sample(Random(0))
        # The data raises an error if test images are read.
        _read(bench.evaluator(TRAIN).test_workload(arch) or (), bench, "test_workload()")


def _compare_evaluation(subject: Subject, scope: Scope) -> None:
    with scratch() as folder:
        bench = Workbench(subject, folder)
        evaluator = bench.evaluator(scope)
        arch = evaluator.ctx.space.sample(Random(0))
        first, each = evaluator.preparation(), evaluator.workload(arch, Effort())
        if first is None or each is None:
            return
        promised = _read(first, bench, "preparation()") + _read(each, bench, "workload()")
    with scratch() as folder:
        bench = Workbench(subject, folder)
        evaluator = bench.evaluator(scope)
        bench.batches_read.clear()
        evaluator.prepare()
        evaluator.evaluate(arch)
        _compare(promised, _batches(bench), "workload()", f"an evaluation in stage {scope.stage!r}")


def _read(works: Sequence[Work], bench: Workbench, where: str) -> float:
    """Return the number of batches that all units together read; units are done twice, as in a forecast."""
    total = 0.0
    for work in works:
        require(
            isinstance(work, Work) and work.name and callable(work.run),
            f"{where} returns {work!r}; it is a list of nasforge.component.Work with names.",
        )
        require(
            math.isfinite(work.units) and work.units >= 0,
            f"{where}: {work.name!r} has {work.units!r} units; it is a finite number, 0 or more.",
        )
        if not work.units:
            continue
        work.run()
        before = _batches(bench)
        work.run()
        total += work.units * (_batches(bench) - before)
    return total


def _batches(bench: Workbench) -> int:
    return sum(bench.batches_read.values())


def _compare(promised: float, made: int, where: str, what: str) -> None:
    # Units may use one batch again: then nothing can be compared.
    require(
        not promised or math.isclose(promised, made, rel_tol=TOLERANCE),
        f"the units of {where} read {promised:g} batches, but {what} reads {made}: the forecast of a run "
        "would be wrong by as much. Count the batches of all phases, and let run() do one of them.",
    )
