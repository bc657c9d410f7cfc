"""How good an architecture is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nasforge.arch import Arch
from nasforge.component import C, Component
from nasforge.plugins import capability

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Evaluation", "Evaluator", "KeepsNetwork", "ParallelEvaluator", "RepeatedTraining", "TableStore"]


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
        trust: bool = False,
        replace: bool = False,
        report: Callable[[float], None] = ...,
    ) -> dict[str, Any]:
        """Check a file, store it whole, and return what `describe_table` returns."""

    def list_tables(self) -> list[dict[str, Any]]:
        """Return ``name``, ``path``, ``shipped``, and ``space``, ``rows``, ``source`` or a ``problem``."""

    def describe_table(self, name: str) -> dict[str, Any]:
        """Return the columns of a table and the best row of each."""
