"""Measure a latency table: every distinct option once, what is always there, and the error of the sum."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import torch
from torch import nn

from nasforge.arch import Arch
from nasforge.cost import plainly_computed
from nasforge.cost.additive import AdditiveCost, Term
from nasforge.cost.itemize import Item, itemize, signature
from nasforge.cost.latency import Clock, Timing, limit_threads, random_input
from nasforge.cost.latency_backend import Backend, ForwardPass, TorchBackend
from nasforge.cost.latency_table import LatencyTable
from nasforge.errors import RunError
from nasforge.nn import ChoiceBlock, EdgeSum
from nasforge.runtime import Runtime
from nasforge.runtime.environment import describe_environment
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace, Task

__all__ = ["Settings", "build_table", "errors_of", "structure"]

COST = "latency_ms"


@dataclass(frozen=True)
class Settings:
    """How to measure a table.

    Attributes:
        batch: Images per call.
        threads: CPU threads; None leaves torch's setting.
        clock: See `nasforge.cost.latency.Clock`.
        runs: Timed calls of each module and network.
        warmup: Calls before them.
        references: Networks that the rest is fitted to; at least 2.
        networks: Networks that the error is measured on; at least 3.
        seed: Draws the networks.
    """

    batch: int = 1
    threads: int | None = None
    clock: Clock = "wall"
    runs: int = 30
    warmup: int = 5
    references: int = 10
    networks: int = 20
    seed: int = 0

    def time(
        self, jobs: Sequence[ForwardPass], backend: Backend, report: Callable[[float], None]
    ) -> list[Timing]:
        """Time forward passes; see `nasforge.cost.latency_backend.Backend.time`."""
        return backend.time(jobs, runs=self.runs, warmup=self.warmup, clock=self.clock, report=report)


def build_table(
    space: NetworkSpace[Any],
    task: Task,
    runtime: Runtime,
    described: Mapping[str, Any],
    *,
    settings: Settings | None = None,
    report: Callable[[str, float], None] = lambda what, share: None,
    backend: Backend | None = None,
) -> LatencyTable:
    """Measure what every option of the final networks of a space takes.

    A module that occurs at many places with the same input shape is measured once. A module that is always
    there is part of the rest: ``references`` random networks are measured as a whole, and the table's two
    free numbers, the rest and a factor on the sum of the options, are fitted to them by least
    squares. The factor corrects the difference between an option alone and inside a network, such as the
    state of the processor's caches. ``networks`` other random networks tell the error.

    Args:
        space: Its networks vary by `ChoiceBlock` and `EdgeSum` only, or it has `StandaloneParts`.
        task: Input and output sizes.
        runtime: Device, precision and layout.
        described: Name and options of the space, to be stored.
        settings: How to measure.
        report: Told what is being measured, and the share of it that is done.
        backend: The backend that runs the modules; None: torch on the runtime's device.

    Raises:
        RunError: See `nasforge.cost.itemize.itemize`.
    """
    settings, backend = settings or Settings(), backend or TorchBackend(runtime)
    references = settings.references
    _, items = itemize(space, task)
    rng = Random(derive_seed(settings.seed, "latency"))
    drawn = _draw(space, rng, references + settings.networks)
    with limit_threads(settings.threads):
        units, unit_of = _measure_units(
            space, task, items, runtime, settings, backend, partial(report, "options")
        )
        terms = _terms(items, units, unit_of)
        times = _measure_networks(space, task, drawn, runtime, settings, backend, partial(report, "networks"))
        environment = describe_environment(runtime, (), settings.seed)
    sums = AdditiveCost(space.choices, {COST: 0.0}, terms)
    measured = [t.median_ms for t in times]
    plain = [sums.of(arch)[COST] for arch in drawn]
    rest, factor = fit_line(plain[:references], measured[:references])
    terms = [Term(t.picks, {COST: factor * t.costs[COST]}) for t in terms]
    cost = AdditiveCost(space.choices, {COST: rest}, terms)
    tested = drawn[references:]
    error = errors_of([cost.of(arch)[COST] for arch in tested], measured[references:])
    rows = [
        {"notation": space.notation(arch), "predicted_ms": cost.of(arch)[COST], **timing.to_json()}
        for arch, timing in zip(tested, times[references:], strict=True)
    ]
    about = {
        "space": dict(described),
        "task": asdict(task),
        "structure": structure(items),
        "device": str(runtime.device),
        "hardware": environment["accelerator"] or environment["cpu"],
        "precision": runtime.precision,
        "channels_last": runtime.channels_last,
        **asdict(settings),
        "threads": environment["threads"],
        "factor": factor,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "backend": backend.name,
        **backend.describe(),
    }
    return LatencyTable(about, space.choices, cost, tuple(units), {**error, "measured": rows})


def structure(items: Sequence[Item]) -> str:
    """Return a hash of every option's module and input shape: tables fit spaces of the same one.

    Args:
        items: The result of `nasforge.cost.itemize.itemize`.
    """
    lines = sorted(f"{item.picks} {item.shapes} {signature(item.module)}" for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def errors_of(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float]:
    """Return how far predictions are from measurements.

    Args:
        predicted: In milliseconds.
        measured: Medians of the same networks.

    Returns:
        ``networks``, ``mape`` (mean absolute error, percent of the measurement), ``spearman`` and ``spread``
        (standard deviation of the measurements, percent of their mean: what a constant would miss).
    """
    shares = [abs(p - m) / m for p, m in zip(predicted, measured, strict=True)]
    return {
        "networks": len(measured),
        "mape": 100.0 * statistics.fmean(shares),
        "spearman": spearman(predicted, measured),
        "spread": 100.0 * statistics.pstdev(measured) / statistics.fmean(measured),
    }


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the rank correlation of two series; 0 where one does not vary."""
    if len(set(a)) == 1 or len(set(b)) == 1:
        return 0.0
    from scipy.stats import spearmanr  # half a second, which every run would pay at its start

    return float(spearmanr(a, b).statistic)


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return the intercept and slope of the least-squares line.

    More work never takes less time: where the slope is not positive, or x does not vary, it is 1.
    """
    slope = statistics.linear_regression(x, y).slope if len(set(x)) > 1 else 1.0
    slope = slope if slope > 0 else 1.0
    return statistics.fmean(y) - slope * statistics.fmean(x), slope


def _draw(space: NetworkSpace[Any], rng: Random, count: int) -> list[Arch]:
    """Draw different architectures, as far as the space has them; some twice if it has fewer."""
    found: dict[Arch, None] = {}
    for _ in range(20 * count):
        if len(found) == count:
            break
        found[space.canonical(space.sample(rng))] = None
    archs = list(found)
    if len(archs) < 5:
        raise RunError(f"latency: {type(space).__name__} has only {len(archs)} architectures: measure each.")
    return [archs[i % len(archs)] for i in range(count)]


def _measure_units(
    space: NetworkSpace[Any],
    task: Task,
    items: Sequence[Item],
    runtime: Runtime,
    settings: Settings,
    backend: Backend,
    report: Callable[[float], None],
) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """Return the timing of every distinct module and shape, and which of them each item consists of."""
    network = plainly_computed(space).build(task).eval()
    around = {item.around for item in items}
    units: list[dict[str, Any]] = []
    jobs: list[ForwardPass] = []
    known: dict[tuple[str, tuple[int, ...]], int] = {}
    unit_of: dict[str, list[int]] = {}
    for item in items:
        unit_of[item.name] = []
        if isinstance(item.module, ChoiceBlock | EdgeSum):
            continue  # all of it lies inside its options
        kind = signature(item.module)
        for shape in item.shapes:
            if (kind, shape) not in known:
                known[kind, shape] = len(units)
                found = item.make() if item.make else network.get_submodule(item.name)
                module = runtime.prepare(found.eval())
                given = random_input((settings.batch, *shape[1:]), runtime)
                # Of what lies inside, the first options run, whose time is then taken off.
                inner = ({c.name: 0 for c in _choices(module)},) if item.name in around else ()
                jobs.append(ForwardPass(module, given, inner))
                units.append({"option": item.picks[-1][1], "shape": list(shape), "places": 0})
            index = known[kind, shape]
            units[index]["places"] += 1
            unit_of[item.name].append(index)
    timings = settings.time(jobs, backend, report)
    return [{**unit, **t.to_json()} for unit, t in zip(units, timings, strict=True)], unit_of


def _terms(
    items: Sequence[Item], units: Sequence[Mapping[str, Any]], unit_of: Mapping[str, Sequence[int]]
) -> list[Term]:
    taken = {item.name: sum(units[i]["median_ms"] for i in unit_of[item.name]) for item in items}
    own = dict(taken)
    seen: set[str] = set()
    for item in items:
        block = item.name.rpartition(".")[0]
        if item.around is not None and unit_of[item.around] and block not in seen:
            own[item.around] -= taken[item.name]
        seen.add(block)
    return [Term(item.picks, {COST: max(0.0, own[item.name])}) for item in items]


def _choices(module: nn.Module) -> list[Any]:
    return [part.choice for part in module.modules() if isinstance(part, ChoiceBlock | EdgeSum)]


def _measure_networks(
    space: NetworkSpace[Any],
    task: Task,
    drawn: Sequence[Arch],
    runtime: Runtime,
    settings: Settings,
    backend: Backend,
    report: Callable[[float], None],
) -> list[Timing]:
    networks = [runtime.prepare(space.build(task, arch)).eval() for arch in drawn]
    images = random_input((settings.batch, task.in_channels, task.image_size, task.image_size), runtime)
    return settings.time([ForwardPass(network, images) for network in networks], backend, report)
