"""Benches: a run of every searcher with every seed, under the same budget."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nasforge.benches.folder import BenchFolder, bench_inputs
from nasforge.benches.job import BenchWorker, Job, search_once
from nasforge.benches.standings import Standing
from nasforge.config import merge_options
from nasforge.errors import RunError
from nasforge.observer import Observer, Observers
from nasforge.parallel.crew import Crew, WorkItem
from nasforge.parallel.messages import Order, revive_error
from nasforge.parallel.processes import Process
from nasforge.recipe import Recipe
from nasforge.recipe.objectives import objectives_of
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.training.stopping import Stopped, check_stop, stop_requested

__all__ = ["BenchResult", "run_bench"]


@dataclass(frozen=True)
class BenchResult:
    """The result of a bench.

    Attributes:
        folder: The folder with ``summary.json``, ``summary.csv``, ``summary.md``, ``runs.csv``.
        baseline: The searcher that the others are compared with.
        standings: A line per searcher.
        done_before: Number of runs that an earlier process had made.
    """

    folder: Path
    baseline: str
    standings: tuple[Standing, ...]
    done_before: int


def run_bench(
    recipe: Recipe, path: Path, workers: int = 1, observer: Observer[Any] | None = None
) -> BenchResult:
    """Make every run that is missing, and compare all of them.

    Runs come seed by seed, so that a bench that was stopped has about as many of each searcher.

    Args:
        recipe: One with a ``[bench]`` table.
        path: The folder of the bench.
        workers: Number of processes that make runs.
        observer: Receives the calls of a bench.

    Raises:
        RunError: A run failed, the folder belongs to another bench, or the budget is too small; what was
            finished is kept.
        Stopped: A stop was requested; runs under way resume from there.
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
        # Closing ends the workers, also on Ctrl-C: runs that are not over may take hours, and are done again.
        with closing(_results(jobs, min(workers, len(jobs)))) as results:
            for job, result in results:
                folder.store(job.label, job.seed, result)
                shutil.rmtree(job.work, ignore_errors=True)
                done += 1
                observer.bench_run_end(done, total, result)
        shutil.rmtree(path / "work", ignore_errors=True)
        found = folder.summarise(labels, bench.seeds, bench.baseline.label)
        observer.bench_end([standing.to_json() for standing in found])
    return BenchResult(path, bench.baseline.label, tuple(found), before)


def _jobs(recipe: Recipe, folder: BenchFolder) -> Iterator[Job]:
    """Yield the runs that are still to be made."""
    assert recipe.bench is not None, "the caller asks for a bench"
    bench = recipe.bench
    tables = {k: v for k, v in recipe.resolved().items() if k != "train"}
    objectives = {e.label: objectives_of(e.config) for e in bench.entrants}
    for seed in bench.seeds:
        for entrant in bench.entrants:
            if folder.read_result(entrant.label, seed) is not None:
                continue
            searcher = {"use": entrant.plugin.name, **entrant.config.to_json()}
            run = {**tables["run"], "seed": seed}
            resolved = {**tables, "run": run, "space": bench.space, "searcher": searcher}
            if entrant.limits:
                resolved["constraints"] = merge_options(tables.get("constraints", {}), entrant.limits)
            # A distiller makes a twin search of any gradient search: it goes to those that cannot do without.
            if not entrant.plugin.requires("distiller"):
                resolved.pop("distiller", None)
            work = folder.work(entrant.label, seed)
            yield Job(
                resolved,
                recipe.source,
                entrant.label,
                bench.budget,
                work,
                objectives,
                bench.metric,
                bench.hypervolume.to_json() if bench.hypervolume else None,
            )


def _results(jobs: list[Job], workers: int) -> Generator[tuple[Job, dict[str, Any]]]:
    """Yield runs as they end: in order, or in several processes as it happens."""
    if workers <= 1:
        for job in jobs:
            check_stop()
            yield job, search_once(job)
        return
    order = Order(f"{BenchWorker.__module__}:{BenchWorker.__name__}", str(Path.cwd()))
    crew = Crew(workers, lambda number, receive: Process(order, receive))
    waiting: dict[WorkItem, Job] = {}
    try:
        for job in jobs:
            waiting[task := WorkItem(_alone(job).to_json())] = job
            crew.submit(task)
        while waiting:
            if (ended := crew.wait()) is not None:
                yield waiting.pop(ended), _result_of(ended)
            if reason := stop_requested():
                crew.stop(reason)
                for task in [task for task in waiting if task.outcome is not None]:
                    yield waiting.pop(task), _result_of(task)
                raise Stopped(reason)
    finally:
        crew.close()


def _result_of(task: WorkItem) -> dict[str, Any]:
    """Return the result of a run that a worker has made.

    Raises:
        NasforgeError: The run failed, or its worker died.
    """
    assert task.outcome is not None, "the task is over"
    if "lost" in task.outcome:
        raise RunError(
            "bench: a worker process died, perhaps for want of memory. What was finished is kept; the same "
            "command resumes. Try fewer --workers."
        )
    if "error" in task.outcome:
        raise revive_error(task.outcome)
    return dict(task.outcome["result"])


def _alone(job: Job) -> Job:
    """Limit a run in a worker to one thread, unless the recipe has a number: workers share the cores."""
    run = job.resolved["run"]
    return replace(job, resolved={**job.resolved, "run": {**run, "threads": run["threads"] or 1}})
