"""One run of a bench: a searcher, a seed and a budget."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from nasforge.arch import Arch
from nasforge.benches.meter import BudgetMeter, BudgetSpent, CpuClock
from nasforge.benches.standings import NOTHING_NEW
from nasforge.confirm import ConfirmedSearcher
from nasforge.constraints import COSTS
from nasforge.data import reading_only
from nasforge.errors import RecipeError, RunError, suggest
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.observer import Observers
from nasforge.parallel.messages import Message, Send
from nasforge.pareto import Objectives
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.recipe.bench_table import HYPERVOLUME
from nasforge.recipe.budget import Budget
from nasforge.runs.assembly import Assembly
from nasforge.runs.folder import RunFolder
from nasforge.runs.scope import SEARCH
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import Searcher
from nasforge.training.loops import random_state, set_random_state
from nasforge.training.stopping import Stopped, check_stop, stop_requested

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
        metric: The number that results are compared by.
        hypervolume: Options of ``[bench.hypervolume]`` if that is the metric.
    """

    resolved: Mapping[str, Any]
    source: str
    label: str
    budget: Budget
    work: Path
    objectives: Mapping[str, tuple[str, ...]]
    metric: str = "score"
    hypervolume: Mapping[str, Any] | None = None

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
    with RunFolder(job.work).locked(), reading_only(SEARCH.stage, SEARCH.reads):
        assembly = Assembly(recipe, RunFolder(job.work), runtime, Observers())
        state = checkpoint.load(job.work / "checkpoint.safetensors")
        clock = CpuClock(0.0 if state is None else state["cpu"])
        searcher, meter = assembly.assemble(
            lambda e: BudgetMeter(e, job.budget, partial(_check_objectives, job, e), clock)
        )
        assert meter is None or isinstance(meter, BudgetMeter), "it was wrapped just now"
        _check_rung(job, searcher)
        search = _MeteredSearch(job, searcher, meter, clock)
        search.run(state)
        best = searcher.best()
        metrics = dict(assembly.space.lookup(best))
        score, final = _score(job, best, metrics, meter)
    return {
        "searcher": job.label,
        "seed": job.seed,
        "score": score,
        "notation": assembly.space.notation(best),
        "architecture": best.to_json(),
        "metrics": {**metrics, **final},
        "evaluations": meter.evaluations if meter else 0,
        "seconds": meter.seconds if meter and job.budget.unit != "cpu seconds" else round(clock.seconds, 3),
        "steps": search.steps,
        "stopped": search.stopped,
        "curve": search.curve if meter is None or job.metric != "score" else meter.curve,
        "own_seconds": round(time.monotonic() - started, 3),
    }


def _check_rung(job: Job, searcher: Searcher[Any]) -> None:
    if job.budget.unit != "evaluations" or not isinstance(searcher, ConfirmedSearcher):
        return
    if searcher.least_candidates > job.budget.amount:
        raise RunError(
            f"bench.budget: {job.budget} end before the first rung of {job.label!r}, which has "
            f"{searcher.least_candidates} candidates. Give several times that, or set confirm.neighbours."
        )


def _score(
    job: Job, best: Arch, known: Mapping[str, float], meter: BudgetMeter | None
) -> tuple[float, Mapping[str, float]]:
    """Return what the result is worth by the metric of the bench, and further metrics of the evaluator."""
    if job.hypervolume is not None:
        assert meter is not None, "the recipe check requires an [evaluator] table"
        objectives = Objectives(job.hypervolume["objectives"])
        limits, full = meter.ctx.constraints, [e for e in meter.full if not e.failed]
        priced = [replace(e, metrics=limits.add_costs(e.arch, e.metrics, objectives.costs)) for e in full]
        return objectives.hypervolume(priced, job.hypervolume["reference"]), {}
    if job.metric != "score":
        if job.metric not in known:
            raise RunError(
                f"bench.metric: {job.metric!r} is not known about {best.key}."
                f"{suggest(job.metric, ['score', *known])}"
            )
        return float(known[job.metric]), {}
    assert meter is not None, "the recipe check requires an [evaluator] table"
    final = meter.evaluate_result(best)
    if final.failed:
        raise RunError(f"bench: {job.label!r} with seed {job.seed} found nothing that works: {final.failed}")
    return final.score, final.metrics


class _MeteredSearch:
    """A search that ends when its budget is spent, or when it is done.

    Args:
        job: The run.
        searcher: The searcher, set up.
        meter: Its evaluator, if there is one.
        clock: Its CPU time.

    Attributes:
        curve: Value of the searcher's answer by the metric of the bench, where a table knows it,
            whenever that changed: evaluations (steps, without an evaluator), seconds as the budget counts
            them, value.
    """

    def __init__(self, job: Job, searcher: Searcher[Any], meter: BudgetMeter | None, clock: CpuClock) -> None:
        self.job, self.searcher, self.meter, self.clock = job, searcher, meter, clock
        self.path = job.work / "checkpoint.safetensors"
        self.steps = self.idle = 0
        self.stopped = ""
        self.curve: list[list[float]] = []

    def run(self, state: Mapping[str, Any] | None) -> None:
        """Search until the end.

        Args:
            state: The checkpoint of a process that was stopped.

        Raises:
            RunError: The budget is smaller than the first step or evaluation.
            Stopped: A stop was requested; the state is saved.
        """
        if state is not None:
            self._restore(state)
        self.stopped = self._search()
        budget, meter = self.job.budget, self.meter
        counts_all = budget.unit == "cpu seconds"
        if counts_all and (self.steps or self.stopped == "searcher"):
            return
        if not counts_all and meter and meter.evaluations:
            return
        first = meter.first_cost if meter and budget.unit == "seconds" else None
        raise RunError(
            f"bench.budget: {budget} is smaller than one evaluation: the first one of {self.job.label!r} "
            f"with seed {self.job.seed} takes {first or self.clock.seconds:,.1f} seconds. Give several times "
            "that."
        )

    def _search(self) -> str:
        saved = time.monotonic()
        while not self._spent():
            if self.searcher.done:
                return "searcher"
            calls = self.meter.calls if self.meter else 0
            try:
                self.searcher.step()
            except BudgetSpent:
                break
            except Stopped as stop:
                if stop.within_step:
                    self._save()
                raise
            self.steps += 1
            if self.job.budget.unit != "cpu seconds" and self.meter:
                self.idle = 0 if self.meter.calls > calls else self.idle + 1
            if self.idle == STALLED:
                return NOTHING_NEW
            if time.monotonic() - saved > PAUSE or stop_requested():
                self._save()
                saved = time.monotonic()
            check_stop()
        return "budget"

    def _note_value(self, seconds: float) -> None:
        """Add what the searcher's answer is worth to the curve, if a table knows it and it changed."""
        if self.job.metric in ("score", HYPERVOLUME) or not self.steps:
            return
        value = self.searcher.ctx.space.lookup(self.searcher.best()).get(self.job.metric)
        if value is not None and (not self.curve or self.curve[-1][2] != value):
            count = self.meter.evaluations if self.meter else self.steps
            self.curve.append([count, round(seconds, 3), float(value)])

    def _spent(self) -> bool:
        if self.job.budget.unit == "cpu seconds":
            seconds = self.clock.seconds
            self._note_value(seconds)
            return seconds >= self.job.budget.amount
        assert self.meter is not None, "the recipe check requires an [evaluator] table"
        if self.job.metric != "score":
            self._note_value(self.meter.seconds)
        return self.meter.spent

    def _save(self) -> None:
        state = {
            "meter": self.meter.state_dict() if self.meter else {},
            "searcher": self.searcher.state_dict(),
            "steps": self.steps,
            "idle": self.idle,
            "cpu": self.clock.seconds,
            "curve": self.curve,
            "random": random_state(self.searcher.ctx.runtime.device),
        }
        checkpoint.save(self.path, state)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.steps, self.idle = state["steps"], state["idle"]
        self.curve = list(state.get("curve", []))
        if self.meter:
            self.meter.load_state_dict(state["meter"])
        self.searcher.load_state_dict(state["searcher"])
        set_random_state(self.searcher.ctx.runtime.device, state["random"])


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
