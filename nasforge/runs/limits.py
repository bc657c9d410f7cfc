"""From the ``[constraints]`` table to what tells the cost of architectures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from nasforge.arch import Arch
from nasforge.component import Context, Slot
from nasforge.constraints import MEASURED, Constraints, ConstraintsConfig
from nasforge.cost import latency_table, measure_arch
from nasforge.cost.additive import AdditiveCost
from nasforge.cost.feasible import check_feasible
from nasforge.cost.itemize import count_options, itemize
from nasforge.cost.latency import Timing, measure_latency
from nasforge.cost.latency_backend import ForwardPass
from nasforge.cost.latency_build import structure
from nasforge.cost.latency_table import LatencyTable
from nasforge.cost.memory import memory_of
from nasforge.errors import RecipeError, RunError
from nasforge.evaluator import Evaluator, KnownMetrics
from nasforge.recipe import Recipe
from nasforge.recipe.latency_table import TORCH, LatencyConfig
from nasforge.runs.build import build
from nasforge.runs.folder import MetricsLog
from nasforge.runs.inputs import expected_task
from nasforge.runs.scope import SEARCH
from nasforge.runtime import Runtime
from nasforge.space import KnownCost, NetworkSpace, SearchSpace, Task

__all__ = [
    "check_limits",
    "cost_of",
    "find_known_metrics",
    "fingerprint_of",
    "make_constraints",
    "refuse_impossible",
    "table_for",
]


WARMUP = 10
"""Calls of a network before it is timed."""


def make_constraints(
    config: ConstraintsConfig,
    space: SearchSpace[Any],
    task: Task,
    runtime: Runtime,
    described: Mapping[str, Any],
    folder: Path | None = None,
    latency: LatencyConfig | None = None,
    known: Callable[[Arch], Mapping[str, float] | None] | None = None,
) -> Constraints:
    """Return the limits of a recipe, and what tells the costs of its architectures.

    Args:
        config: The ``[constraints]`` table.
        space: The space of the recipe.
        task: Input and output sizes.
        runtime: Where networks are timed, if the table says ``latency = "measured"``.
        described: Name and options of the space.
        folder: Keeps what was timed, so that a resumed run does not time a network again.
        latency: The ``[latency]`` table: what runs the networks that are timed.
        known: Metrics that the evaluator knows before an evaluation, see `find_known_metrics`.

    Raises:
        RunError: There is no latency table of that name, or it is about other networks.
    """
    latency = latency or LatencyConfig()
    more: dict[str, Callable[[Arch], float]] = {}
    table = None
    if isinstance(space, NetworkSpace):
        more["memory"] = lambda arch: memory_of(space, task, arch)
    if config.latency == MEASURED:
        if not isinstance(space, NetworkSpace):
            raise RunError(f"constraints.latency: {type(space).__name__} builds no networks to measure.")
        more["latency_ms"] = _Stopwatch(space, task, runtime, folder, latency)
    elif config.latency is not None:
        table = table_for(config.latency, space, task, described)
        _check_backend(table, latency)
        costs = table.cost
        more["latency_ms"] = lambda arch: costs.of(arch)["latency_ms"]

    @cache
    def counted() -> AdditiveCost:
        if not isinstance(space, NetworkSpace):
            raise RunError(
                f"constraints: {type(space).__name__} builds no networks, whose options could be told."
            )
        return count_options(space, task)

    def itemized(name: str) -> AdditiveCost:
        if name in ("params", "macs"):
            return counted()
        if name == "latency_ms" and table is not None:
            return table.cost
        reason = "comes from no table" if name == "latency_ms" else "does not add up over options"
        raise RunError(f"constraints: {name!r} {reason}, so the cost of a single option is unknown.")

    return Constraints(config, lambda arch: cost_of(space, arch, task), more, itemized, known)


def find_known_metrics(
    recipe: Recipe, space: SearchSpace[Any], runtime: Runtime
) -> Callable[[Arch], Mapping[str, float] | None] | None:
    """Return the metrics that the evaluator of a recipe, or its base, knows before it evaluates.

    Args:
        recipe: The recipe.
        space: Its space.
        runtime: Device and precision.

    Returns:
        A function of the architecture, see `KnownMetrics`; None if neither evaluator knows any.
    """
    for table in ("evaluator", "evaluator.base"):
        part = recipe.parts.get(table)
        if part is not None and KnownMetrics in part.plugin.provides:
            evaluator: Evaluator[Any] = build(part)
            evaluator.setup(
                Context(
                    space=space,
                    runtime=runtime,
                    seed=recipe.run.seed,
                    stage=SEARCH.stage,
                    slot=_no_slot,
                    report=lambda values: None,
                )
            )
            assert isinstance(evaluator, KnownMetrics), "its plugin was loaded with this capability"
            return evaluator.known_metrics
    return None


def _no_slot(name: str) -> Slot:
    raise RunError(f"slot {name!r}: an evaluator whose metrics are known saves nothing before an evaluation.")


def cost_of(space: SearchSpace[Any], arch: Arch, task: Task) -> Mapping[str, float]:
    """Return ``params`` and ``macs`` of a final network: what the space knows, else what is measured.

    Args:
        space: The space of the architecture.
        arch: The architecture.
        task: Input and output sizes.

    Returns:
        The costs; none if the space neither knows them nor builds networks.
    """
    if isinstance(space, KnownCost):
        return space.cost(arch, task)
    if isinstance(space, NetworkSpace):
        measured = measure_arch(space, task, arch)
        return {"params": measured.params, "macs": measured.macs}
    return {}


def fingerprint_of(config: ConstraintsConfig) -> dict[str, str]:
    """Return what a search depends on besides the options: the numbers in the latency table, if there is one.

    Args:
        config: The ``[constraints]`` table.
    """
    if config.latency in (None, MEASURED):
        return {}
    return {"latency_table": latency_table.read(str(config.latency)).checksum}


def check_limits(recipe: Recipe) -> Task | None:
    """Judge the limits of a recipe without reading images.

    Args:
        recipe: Has a ``[constraints]`` table.

    Returns:
        The input and output sizes for which they were judged; None if these are unknown before images are
        read, so that nothing was judged.

    Raises:
        RecipeError: No architecture keeps them; see `refuse_impossible`.
        RunError: The latency table is missing or about other networks.
    """
    space: SearchSpace[Any] = build(recipe.parts["space"])
    if (task := expected_task(recipe, space)) is None:
        return None
    runtime = Runtime.create(recipe.run.device, recipe.run.precision, recipe.run.channels_last)
    described = recipe.resolved()["space"]
    constraints = make_constraints(
        recipe.constraints,
        space,
        task,
        runtime,
        described,
        latency=recipe.latency,
        known=find_known_metrics(recipe, space, runtime),
    )
    refuse_impossible(recipe, constraints, space, task)
    return task


def refuse_impossible(recipe: Recipe, constraints: Constraints, space: SearchSpace[Any], task: Task) -> None:
    """Say so if no architecture keeps the limits, before anything runs.

    Args:
        recipe: Whose limits they are.
        constraints: The limits, and what tells costs.
        space: The space of the recipe.
        task: Input and output sizes.

    Raises:
        RecipeError: None exists; or none was found, and the search is one that starts from random ones. For
            other searches the latter is a warning.
    """
    verdict = check_feasible(constraints, space, task, seed=recipe.run.seed)
    if verdict is None:
        return
    draws = recipe.parts["searcher"].plugin.requires("evaluator")
    if verdict.certain or draws:
        raise RecipeError(recipe.source, [verdict.problem])
    warnings.warn(verdict.problem, stacklevel=2)


def table_for(name: str, space: SearchSpace[Any], task: Task, described: Mapping[str, Any]) -> LatencyTable:
    """Read a latency table and check that it is about the networks of a recipe.

    Args:
        name: Name or path of the table.
        space: The space of the recipe.
        task: Input and output sizes.
        described: Name and options of the space.

    Raises:
        RunError: There is none, or it is about other networks.
    """
    table = latency_table.read(name)
    table.check_choices(space.choices, described["use"])
    known = Task(**table.about["task"])
    if table.about["space"] == dict(described) and known == task:
        return table
    # Options that do not change the final networks may differ, and so may the number of classes.
    fits = isinstance(space, NetworkSpace) and structure(itemize(space, task)[1]) == table.about["structure"]
    if not fits:
        raise RunError(
            f"constraints.latency: {table.path} was measured for other networks: options "
            f"{_differing(table.about['space'], described)}, images of {known.image_size} pixels there and "
            f"{task.image_size} here. Build a table for this recipe with 'nasforge latency build RECIPE'."
        )
    return table


class _Stopwatch:
    """Times the network of an architecture once, and keeps the result in a file.

    Args:
        space: Builds the networks.
        task: Input and output sizes.
        runtime: Where they are timed.
        folder: Holds the file; None keeps nothing.
        config: The backend that runs them.
    """

    def __init__(
        self,
        space: NetworkSpace[Any],
        task: Task,
        runtime: Runtime,
        folder: Path | None,
        config: LatencyConfig,
    ) -> None:
        self._space, self._task, self._runtime, self._config = space, task, runtime, config
        self._log = None if folder is None else MetricsLog(folder / "latency.jsonl")
        rows = self._log.rows() if self._log else []
        self._known = {(row["key"], row["device"]): row["median_ms"] for row in rows}

    def __call__(self, arch: Arch) -> float:
        backend = self._config.backend
        device = f"{self._runtime.device} {self._runtime.precision}" if backend == TORCH else backend
        place = (arch.key, device)
        if place not in self._known:
            timing = self._runtime.shards.from_main(lambda: self._time(arch).to_json())
            self._known[place] = timing["median_ms"]
            if self._log and self._runtime.shards.is_main:
                row = {"key": place[0], "device": place[1], "notation": self._space.notation(arch)}
                self._log.append({**row, **timing})
        return self._known[place]

    def _time(self, arch: Arch) -> Timing:
        network = self._space.build(self._task, arch)
        if self._config.backend == TORCH:
            return measure_latency(network, self._task, self._runtime, runs=self._config.runs)
        from nasforge.exports.latency import make_backend

        task = self._task
        images = torch.zeros(1, task.in_channels, task.image_size, task.image_size)
        backend = make_backend(self._config, self._runtime)
        return backend.time([ForwardPass(network.eval(), images)], runs=self._config.runs, warmup=WARMUP)[0]


def _check_backend(table: LatencyTable, config: LatencyConfig) -> None:
    measured = table.about.get("backend", TORCH)
    if config.backend != measured:
        raise RunError(
            f"constraints.latency: {table.path} was measured with latency.backend = {measured!r}, and the "
            f"recipe says {config.backend!r}. Write the same, or measure a table for this one: "
            "nasforge latency build RECIPE"
        )


def _differing(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = sorted(n for n in {*known, *wanted} if known.get(n) != wanted.get(n))
    return ", ".join(f"{n} = {known.get(n)} there and {wanted.get(n)} here" for n in names) or "alike"
