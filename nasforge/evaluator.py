"""How good an architecture is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from nasforge.arch import Arch
from nasforge.component import C, Component, Context, Work
from nasforge.plugins import capability
from nasforge.seeding import derive_seed

if TYPE_CHECKING:
    from torch import nn

    from nasforge.tables import TableLayout

__all__ = [
    "Effort",
    "Evaluation",
    "Evaluator",
    "KeepsNetwork",
    "KnownMetrics",
    "ParallelEvaluator",
    "RepeatedTraining",
    "TableStore",
    "forecast_evaluations",
    "sample_allowed",
]

SAMPLES = 3
"""Number of random architectures whose evaluation is timed for a forecast."""

DRAWS = 20
"""Number of draws after which a forecast takes an architecture over a limit."""


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating an architecture.

    Attributes:
        arch: The architecture.
        score: Higher is better.
        cost: Seconds the evaluation took, or that a table says it would have taken.
        metrics: Anything else by name: accuracies in percent, ``params``, ``macs``, ``latency_ms``.
        budget: The effort that was asked for, if the searcher chose it; None is the evaluator's default.
        estimated: Whether the score is a guess from other evaluations. Guesses may guide a search, they are
            never its answer.
        failed: Why there is no score: a crash, or an error of the evaluator. None if it worked. Anything that
            failed has the score minus infinity.
    """

    arch: Arch
    score: float
    cost: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    budget: int | None = None
    estimated: bool = False
    failed: str | None = None

    @property
    def effort(self) -> float:
        """The budget as a number; the default is the largest."""
        return math.inf if self.budget is None else self.budget

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Order of evaluations as an answer: whether it has a result, its effort, its score."""
        return not self.estimated and not self.failed, self.effort, self.score

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `from_json`."""
        return {
            "arch": self.arch.to_json(),
            "score": None if self.failed else self.score,
            "cost": self.cost,
            "metrics": dict(self.metrics),
            "budget": self.budget,
            "estimated": self.estimated,
            "failed": self.failed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """Restore what `to_json` returned."""
        return cls(
            Arch(data["arch"]),
            -math.inf if data.get("failed") else data["score"],
            data["cost"],
            data["metrics"],
            data.get("budget"),
            data.get("estimated", False),
            data.get("failed"),
        )


class Effort(NamedTuple):
    """Effort of an evaluation.

    Attributes:
        budget: As in `Evaluator.evaluate`.
        known: Budget of an earlier evaluation of the same architecture; 0 if there is none.
    """

    budget: int | None = None
    known: int = 0


class Evaluator(Component[C], ABC):
    """Scores architectures during a search, or trains the derived one at the end.

    `evaluate` never reads the test split, `test` reads nothing else. Long evaluations save their progress
    in ``ctx.slot(arch.key)`` and resume from there after a restart.
    """

    workers: int = 1
    """Number of evaluations that run at the same time."""

    def prepare(self) -> None:
        """Do what all evaluations share, once, before the first of them. Default: nothing.

        With several workers it is called in the main process alone; workers find what it saved in slots.
        """

    def check_budget(self, budget: int) -> None:
        """Refuse a budget that `evaluate` could not take; searchers ask before they begin. Default: take all.

        Args:
            budget: As in `evaluate`.

        Raises:
            NasforgeError: An evaluation with this budget would fail for every architecture.
        """

    def halt(self, reason: str) -> bool:
        """Wait for evaluations under way because a search stops; return whether the state has changed."""
        return False

    def expect(self, arch: Arch, *, budget: int | None = None, repeat: int = 0) -> None:
        """Hear of an evaluation that will be asked for, so that it can begin. Default: nothing.

        Args:
            arch: The architecture.
            budget: As in `evaluate`.
            repeat: The index of the repetition, see `RepeatedTraining`.
        """

    @abstractmethod
    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Score one architecture.

        Args:
            arch: A valid architecture of ``ctx.space``.
            budget: How much effort, in the evaluator's own unit (epochs); None takes its default.
        """

    def summary(self) -> Mapping[str, float]:
        """Return what the result of a search shall say about this evaluator. Default: nothing."""
        return {}

    def preparation(self) -> Sequence[Work] | None:
        """Return the work of `prepare`, for the forecast of a run. Default: none; None if it is unknown."""
        return ()

    def workload(self, arch: Arch, effort: Effort) -> Sequence[Work] | None:
        """Return the work of one evaluation, for the forecast of a run. Default: None, it is unknown.

        Args:
            arch: The architecture.
            effort: The effort it is evaluated with.
        """
        return None

    def test_workload(self, arch: Arch) -> Sequence[Work] | None:
        """Return the work of `test`, for the forecast of a run. Default: none; None if it is unknown.

        It is called before the test stage and must not read the test images: time other images instead.

        Args:
            arch: The architecture.
        """
        return ()

    def test(self, arch: Arch) -> Mapping[str, float]:
        """Measure an evaluated architecture on the test split. Called by the test stage alone."""
        raise NotImplementedError(f"{type(self).__name__} has no test metrics.")


@capability("evaluator")
class ParallelEvaluator(Evaluator[C]):
    """An evaluator that several processes can share: its scores depend on seed and architecture alone."""


@capability("evaluator")
@runtime_checkable
class RepeatedTraining(Protocol):
    """An evaluator that can evaluate an architecture again with other random draws."""

    def repeat(self, arch: Arch, index: int, *, budget: int | None = None) -> Evaluation:
        """Score an architecture with the random draws of a repetition.

        Repetitions of one index share what does not depend on the architecture, such as the order of the
        images, so that scores can be compared in pairs.

        Args:
            arch: As in `Evaluator.evaluate`.
            index: Which repetition, from 0, which is what `Evaluator.evaluate` does.
            budget: As in `Evaluator.evaluate`.
        """


@capability("evaluator")
@runtime_checkable
class KeepsNetwork(Protocol):
    """An evaluator that keeps the network it trained, so that a run can store its weights."""

    def network(self, arch: Arch) -> nn.Module:
        """Return the trained network of an architecture that was evaluated."""


@capability("evaluator")
@runtime_checkable
class TableStore(Protocol):
    """An evaluator that keeps tables of results; its functions need no run, so the class has them."""

    def import_table(
        self,
        path: Path,
        name: str | None = None,
        *,
        layout: TableLayout | None = None,
        trust: bool = False,
        replace: bool = False,
        report: Callable[[float], None] = ...,
    ) -> dict[str, Any]:
        """Check a file, store it whole, and return what `describe_table` returns.

        Args:
            path: The file.
            name: Name of the table; None takes the file's name.
            layout: Which columns hold what; None for a format that the evaluator recognises by itself.
            trust: Allow formats whose reader executes code that the file brings along.
            replace: Allow overwriting a table that was imported before.
            report: Called with the share of the file that is read, from 0 to 1.
        """

    def list_tables(self) -> list[dict[str, Any]]:
        """Return ``name``, ``path``, ``shipped``, and ``space``, ``rows``, ``source`` or a ``problem``."""

    def describe_table(self, name: str) -> dict[str, Any]:
        """Return ``name``, ``space``, ``rows``, ``source``, ``seeds``, and a row per column in ``columns``.

        A column has ``dataset``, ``metric``, ``budget``, ``direction``, ``known``, ``runs``, and, if it has a
        direction, ``best``, ``best_index``, ``best_key`` and ``best_notation``; ``from`` is "file", or
        "nasforge" if the values are from a table that comes with the evaluator.
        """


@capability("evaluator")
@runtime_checkable
class KnownMetrics(Protocol):
    """An evaluator that knows metrics of architectures before it evaluates them, as a table does.

    Searchers propose only architectures that it knows, and limits of ``[constraints.max_metrics]`` hold
    before an evaluation.
    """

    def known_metrics(self, arch: Arch) -> Mapping[str, float] | None:
        """Return metrics of an architecture by name; None if it cannot be evaluated.

        Args:
            arch: A valid architecture of ``ctx.space``.
        """


def forecast_evaluations(ctx: Context, planned: Mapping[Effort, float]) -> list[Work] | None:
    """Return the work of many evaluations: the mean over a few random architectures.

    Args:
        ctx: Has the space, the limits and the evaluator.
        planned: Number of evaluations by effort.

    Returns:
        The work; None if the evaluator does not know it.
    """
    evaluator = ctx.evaluator
    assert evaluator is not None, "searches without evaluations have none to forecast"
    preparation = evaluator.preparation()
    if preparation is None:
        return None
    works = list(preparation)
    for arch in sample_allowed(ctx, SAMPLES):
        together: dict[str, Work] = {}
        for effort, count in planned.items():
            parts = evaluator.workload(arch, effort)
            if parts is None:
                return None
            for part in parts:
                units = part.units * count / SAMPLES
                before = together.get(part.name)
                if before is None:
                    together[part.name] = replace(part, units=units, shared=True)
                else:
                    together[part.name] = replace(before, units=before.units + units)
        works += together.values()
    return works


def sample_allowed(ctx: Context, count: int) -> list[Arch]:
    """Draw architectures for a forecast; they keep the limits if that is not too rare.

    Args:
        ctx: Has the space, the limits and the seed.
        count: Number of architectures.
    """
    rng, found = Random(derive_seed(ctx.seed, "forecast")), []
    for _ in range(count):
        for _ in range(DRAWS):
            arch = ctx.space.canonical(ctx.space.sample(rng))
            if ctx.constraints.allow(arch):
                break
        found.append(arch)
    return found
