"""One run of a bench: a searcher, a seed and a budget."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from nasforge.benches.meter import BudgetMeter, BudgetSpent
from nasforge.constraints import COSTS
from nasforge.errors import RecipeError, RunError, suggest
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.observer import Observers
from nasforge.parallel.messages import Message, Send
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.recipe.bench_table import Budget
from nasforge.runs.assembly import Assembly
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import Searcher
from nasforge.training.loops import random_state, set_random_state

__all__ = ["BenchWorker", "Job", "search_once"]

STALLED = 1000
"""Steps without an evaluation after which a search counts as over: it has seen all that it looks for."""

PAUSE = 10.0
"""Seconds of computing that a kill may cost at most, apart from the step in which it comes."""


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


def _set_threads(threads: int | None) -> None:
    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _registry() -> Registry:
    return Registry.discover()
