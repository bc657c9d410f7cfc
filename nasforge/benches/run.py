"""Runs searchers against each other: every searcher, every seed, the same budget."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import torch

from nasforge.benches.folder import BenchFolder, bench_inputs
from nasforge.benches.meter import BudgetSpent, Meter
from nasforge.benches.standings import Standing
from nasforge.constraints import COSTS
from nasforge.errors import NasforgeError, RecipeError, RunError, suggest
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.observer import Observer, Observers
from nasforge.plugins import Registry
from nasforge.recipe import Recipe, check
from nasforge.recipe.bench_table import Budget
from nasforge.recipe.objectives import objectives_of
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import Searcher
from nasforge.stages.stages import Stages
from nasforge.training.loops import random_state, set_random_state

__all__ = ["BenchResult", "Job", "run_bench", "search_once"]

STALLED = 1000
"""After how many steps without an evaluation a search counts as over: it has seen all that it looks for."""

PAUSE = 10.0
"""Seconds of computing that a kill may cost at most, apart from the step in which it comes."""


@dataclass(frozen=True)
class BenchResult:
    """What a bench found.

    Attributes:
        folder: Where it is written: ``summary.json``, ``summary.csv``, ``summary.md``, ``runs.csv``.
        baseline: The searcher that the others are compared with.
        standings: A line per searcher.
        done_before: How many runs an earlier process had made.
    """

    folder: Path
    baseline: str
    standings: tuple[Standing, ...]
    done_before: int


@dataclass(frozen=True)
class Job:
    """One run of one searcher, as plain data: it may be done in another process.

    Attributes:
        resolved: A recipe, the searcher and its options, and the seed in it.
        source: What the recipe is called in messages.
        label: What the searcher is called in the results.
        budget: What the run may spend.
        work: Its folder while it is not over.
        objectives: The objectives of all searchers, by label.
    """

    resolved: Mapping[str, Any]
    source: str
    label: str
    budget: Budget
    work: Path
    objectives: Mapping[str, tuple[str, ...]]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.resolved["run"]["seed"])


def run_bench(
    recipe: Recipe, path: Path, workers: int = 1, observer: Observer[Any] | None = None
) -> BenchResult:
    """Make every run that is not there yet, and compare them.

    Runs come seed by seed, so that a bench that was stopped has about as many of each searcher.

    Args:
        recipe: One with a ``[bench]`` table.
        path: The folder of the bench.
        workers: How many processes make runs.
        observer: Receives the calls of a bench.

    Raises:
        RunError: A run failed, the folder belongs to another bench, or the budget is too small; what was
            finished is kept.
    """
    from nasforge.runtime.environment import describe_environment

    assert recipe.bench is not None, "the caller asks for a bench"
    bench, folder, observer = recipe.bench, BenchFolder(path), observer or Observers()
    labels = [entrant.label for entrant in bench.entrants]
    with RunFolder(path).locked():
        folder.claim(bench_inputs(recipe), recipe.text)
        observer.setup(path)
        jobs = list(_jobs(recipe, folder))
        total = len(labels) * len(bench.seeds)
        before = total - len(jobs)
        if jobs:
            runtime = Runtime.of(recipe.run)
            origins = [e.plugin.origin for e in bench.entrants]
            about = describe_environment(runtime, origins, recipe.run.seed)
            RunFolder(path).store_file(".", "environment.json", about)
        observer.bench_start(path.name, before, total)
        done = before
        for job, result in _results(jobs, min(workers, len(jobs))):
            folder.store(job.label, job.seed, result)
            shutil.rmtree(job.work, ignore_errors=True)
            done += 1
            observer.bench_run_end(done, total, result)
        shutil.rmtree(path / "work", ignore_errors=True)
        found = folder.summarise(labels, bench.seeds, bench.baseline.label)
        observer.bench_end([standing.to_json() for standing in found])
    return BenchResult(path, bench.baseline.label, tuple(found), before)


def search_once(job: Job) -> dict[str, Any]:
    """Search until the budget is spent, and return what the searcher returns then.

    Args:
        job: What to do.

    Raises:
        RunError: The budget is smaller than one evaluation.
        RecipeError: The evaluator does not report an objective of some searcher.
    """
    recipe = check(job.resolved, _registry(), source=job.source)
    options = recipe.run
    runtime = Runtime.of(options)
    _set_threads(options.threads)
    started = time.monotonic()
    with RunFolder(job.work).locked():
        stages = Stages(recipe, RunFolder(job.work), runtime, Observers())
        searcher, meter = stages.assemble(lambda e: Meter(e, job.budget, partial(_check_objectives, job, e)))
        assert isinstance(meter, Meter), "the recipe check requires an [evaluator] table"
        steps, stopped = _search(searcher, meter, job)
        if meter.evaluations == 0:
            raise RunError(
                f"bench.budget: {job.budget} is smaller than one evaluation: the first one of {job.label!r} "
                f"with seed {job.seed} takes {meter.first_cost or 0:,.1f} seconds. Give several times that."
            )
        best = searcher.best()
        judged = meter.judge(best)
        if judged.failed:
            raise RunError(
                f"bench: {job.label!r} with seed {job.seed} found nothing that works: {judged.failed}"
            )
    return {
        "searcher": job.label,
        "seed": job.seed,
        "score": judged.score,
        "notation": stages.space.notation(best),
        "architecture": best.to_json(),
        "metrics": dict(judged.metrics),
        "evaluations": meter.evaluations,
        "seconds": meter.seconds,
        "steps": steps,
        "stopped": stopped,
        "own_seconds": round(time.monotonic() - started, 3),
    }


def _search(searcher: Searcher[Any], meter: Meter, job: Job) -> tuple[int, str]:
    """Return how many steps were made in all, and what ended the search."""
    path, device = job.work / "checkpoint.safetensors", searcher.ctx.runtime.device
    steps = idle = 0
    if (state := checkpoint.load(path)) is not None:
        steps, idle = state["steps"], state["idle"]
        meter.load_state_dict(state["meter"])
        searcher.load_state_dict(state["searcher"])
        set_random_state(device, state["random"])
    saved = time.monotonic()
    while not meter.spent:
        if searcher.done:
            return steps, "searcher"
        calls = meter.calls
        try:
            searcher.step()
        except BudgetSpent:
            break
        steps += 1
        idle = 0 if meter.calls > calls else idle + 1
        if idle == STALLED:
            return steps, "nothing new"
        if time.monotonic() - saved > PAUSE:
            state = {"meter": meter.state_dict(), "searcher": searcher.state_dict()}
            checkpoint.save(path, {**state, "steps": steps, "idle": idle, "random": random_state(device)})
            saved = time.monotonic()
    return steps, "budget"


def _check_objectives(job: Job, evaluator: Evaluator[Any], evaluation: Evaluation) -> None:
    """Look at the objectives of all searchers when the first evaluation of any shows what is reported."""
    if evaluation.failed:
        return
    known = {"score", *evaluation.metrics}
    wanted = {name.removeprefix("-") for names in job.objectives.values() for name in names}
    for cost in (wanted & {*COSTS}) - known:
        with suppress(RunError):  # nobody can tell
            evaluator.ctx.constraints.value(evaluation.arch, cost)
            known.add(cost)
    problems = [
        f"bench.options.{label}.objectives: {name!r}: the evaluator reports no {metric!r}."
        f"{suggest(metric, known)}"
        for label, names in job.objectives.items()
        for name in names
        if (metric := name.removeprefix("-")) not in known
    ]
    if problems:
        raise RecipeError(job.source, problems)


def _jobs(recipe: Recipe, folder: BenchFolder) -> Iterator[Job]:
    """Yield the runs that are not there yet."""
    assert recipe.bench is not None, "the caller asks for a bench"
    bench = recipe.bench
    tables = {k: v for k, v in recipe.resolved().items() if k != "train"}
    objectives = {e.label: objectives_of(e.config) for e in bench.entrants}
    for seed in bench.seeds:
        for entrant in bench.entrants:
            if folder.result(entrant.label, seed) is not None:
                continue
            searcher = {"use": entrant.plugin.name, **entrant.config.to_json()}
            resolved = {**tables, "run": {**tables["run"], "seed": seed}, "searcher": searcher}
            work = folder.work(entrant.label, seed)
            yield Job(resolved, recipe.source, entrant.label, bench.budget, work, objectives)


def _results(jobs: list[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Yield runs as they end: in order, or in several processes as it happens."""
    if workers <= 1:
        for job in jobs:
            yield job, search_once(job)
        return
    others = set(active_children())
    # A forked process would inherit torch's threads in a state that cannot be used.
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        waiting = {pool.submit(_in_worker, _alone(job)): job for job in jobs}
        for future in as_completed(waiting):
            found = future.result()
            if isinstance(found, str):
                raise RunError(found)
            yield waiting[future], found
    except BrokenProcessPool:
        raise RunError(
            "bench: a worker process died, perhaps for want of memory. What was finished is kept; the same "
            "command goes on. Try fewer --workers."
        ) from None
    finally:
        # After an error nobody waits for runs that may take hours: they are done again.
        for process in set(active_children()) - others:
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)


def _alone(job: Job) -> Job:
    """Give a worker one thread unless the recipe says how many: workers share the cores."""
    run = job.resolved["run"]
    return replace(job, resolved={**job.resolved, "run": {**run, "threads": run["threads"] or 1}})


def _in_worker(job: Job) -> dict[str, Any] | str:
    """Return what `search_once` returns, or the text of its error: not every error can be sent."""
    try:
        return search_once(job)
    except NasforgeError as error:
        return str(error)


def _set_threads(threads: int | None) -> None:
    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _registry() -> Registry:
    return Registry.discover()
