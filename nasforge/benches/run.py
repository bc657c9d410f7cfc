"""Benches: a run of every searcher with every seed, under the same budget."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from nasforge.benches.folder import BenchFolder, bench_inputs
from nasforge.benches.meter import BudgetMeter, BudgetSpent
from nasforge.benches.standings import Standing
from nasforge.constraints import COSTS
from nasforge.errors import RecipeError, RunError, suggest
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.observer import Observer, Observers
from nasforge.parallel.crew import Crew, WorkItem
from nasforge.parallel.messages import Message, Order, Send, revive_error
from nasforge.parallel.processes import Process
from nasforge.plugins import Registry
from nasforge.recipe import Recipe, check
from nasforge.recipe.bench_table import Budget
from nasforge.recipe.objectives import objectives_of
from nasforge.runs.assembly import Assembly
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import Searcher
from nasforge.training.loops import random_state, set_random_state

__all__ = ["BenchResult", "BenchWorker", "Job", "run_bench", "search_once"]

STALLED = 1000
"""Steps without an evaluation after which a search counts as over: it has seen all that it looks for."""

PAUSE = 10.0
"""Seconds of computing that a kill may cost at most, apart from the step in which it comes."""


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


@dataclass(frozen=True)
class Job:
    """One run of one searcher, as plain data for another process.

    Attributes:
        resolved: A recipe with the searcher, its options, and the seed.
        source: Name of the recipe in messages.
        label: Name of the searcher in the results.
        budget: The budget of the run.
        work: The folder of the run while it is not over.
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

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON data, for a worker."""
        return {**asdict(self), "work": str(self.work)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """Read the result of `to_json`."""
        objectives = {label: tuple(names) for label, names in data["objectives"].items()}
        changed = {"budget": Budget(**data["budget"]), "work": Path(data["work"]), "objectives": objectives}
        return cls(**{**data, **changed})


class BenchWorker:
    """The class that workers of a bench build: it makes runs.

    Args:
        send: Takes messages; runs have none.
    """

    def __init__(self, send: Send) -> None:
        pass

    def answer(self, task: Message) -> dict[str, Any]:
        """Return the result of one run; the task is JSON data of a `Job`."""
        return search_once(Job.from_json(task))


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


def search_once(job: Job) -> dict[str, Any]:
    """Search until the budget is spent, and return the searcher's result.

    Args:
        job: The run to make.

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
        assembly = Assembly(recipe, RunFolder(job.work), runtime, Observers())
        searcher, meter = assembly.assemble(
            lambda e: BudgetMeter(e, job.budget, partial(_check_objectives, job, e))
        )
        assert isinstance(meter, BudgetMeter), "the recipe check requires an [evaluator] table"
        steps, stopped = _search(searcher, meter, job)
        if meter.evaluations == 0:
            raise RunError(
                f"bench.budget: {job.budget} is smaller than one evaluation: the first one of {job.label!r} "
                f"with seed {job.seed} takes {meter.first_cost or 0:,.1f} seconds. Give several times that."
            )
        best = searcher.best()
        judged = meter.evaluate_result(best)
        if judged.failed:
            raise RunError(
                f"bench: {job.label!r} with seed {job.seed} found nothing that works: {judged.failed}"
            )
    return {
        "searcher": job.label,
        "seed": job.seed,
        "score": judged.score,
        "notation": assembly.space.notation(best),
        "architecture": best.to_json(),
        "metrics": dict(judged.metrics),
        "evaluations": meter.evaluations,
        "seconds": meter.seconds,
        "steps": steps,
        "stopped": stopped,
        "own_seconds": round(time.monotonic() - started, 3),
    }


def _search(searcher: Searcher[Any], meter: BudgetMeter, job: Job) -> tuple[int, str]:
    """Search until the end; return the number of steps and the reason of the end."""
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
    """Check the objectives of all searchers against the metrics of the first evaluation."""
    if evaluation.failed:
        return
    known = {"score", *evaluation.metrics}
    wanted = {name.removeprefix("-") for names in job.objectives.values() for name in names}
    for cost in (wanted & {*COSTS}) - known:
        with suppress(RunError):  # the cost is unknown
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
            resolved = {**tables, "run": {**tables["run"], "seed": seed}, "searcher": searcher}
            work = folder.work(entrant.label, seed)
            yield Job(resolved, recipe.source, entrant.label, bench.budget, work, objectives)


def _results(jobs: list[Job], workers: int) -> Generator[tuple[Job, dict[str, Any]]]:
    """Yield runs as they end: in order, or in several processes as it happens."""
    if workers <= 1:
        for job in jobs:
            yield job, search_once(job)
        return
    order = Order(f"{__name__}:{BenchWorker.__name__}", str(Path.cwd()))
    crew = Crew(workers, lambda number, receive: Process(order, receive))
    waiting: dict[WorkItem, Job] = {}
    try:
        for job in jobs:
            waiting[task := WorkItem(_alone(job).to_json())] = job
            crew.submit(task)
        while waiting:
            if (ended := crew.wait()) is not None:
                yield waiting.pop(ended), _result_of(ended)
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
            "command goes on. Try fewer --workers."
        )
    if "error" in task.outcome:
        raise revive_error(task.outcome)
    return dict(task.outcome["result"])


def _alone(job: Job) -> Job:
    """Limit a run in a worker to one thread, unless the recipe has a number: workers share the cores."""
    run = job.resolved["run"]
    return replace(job, resolved={**job.resolved, "run": {**run, "threads": run["threads"] or 1}})


def _set_threads(threads: int | None) -> None:
    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _registry() -> Registry:
    return Registry.discover()
