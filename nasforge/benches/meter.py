"""The budget of a search: counts evaluations and their cost, and ends the search when it is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation, Evaluator, RepeatedTraining
from nasforge.recipe.budget import Budget
from nasforge.rows import AppendOnly

__all__ = ["BudgetMeter", "BudgetSpent", "CpuClock"]


class BudgetSpent(BaseException):
    """Ends a step in the middle: another evaluation would go over the budget.

    Derives from BaseException so that handlers of failed evaluations do not catch it.
    """


class CpuClock:
    """The CPU time of a search: that of this process since the clock was made, and what was before.

    Args:
        before: Seconds of earlier processes.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._start = time.process_time() - before

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return time.process_time() - self._start


class BudgetMeter(Evaluator[PluginConfig]):
    """Wraps an evaluator, counts its evaluations, and stops at the budget.

    An evaluation counts when it ends within the budget: a search of so many seconds does not learn the result
    of what would have ended later. Estimates cost their seconds and are no evaluations.

    Args:
        inner: The evaluator, set up.
        budget: The budget of the search.
        look: Called with the first evaluation before the searcher gets it.
        clock: Measures the CPU time of the search; None: from now on.

    Attributes:
        evaluations: Number of evaluations.
        seconds: Their total cost, as reported by the evaluator.
        calls: Number of calls of the evaluator; estimates count.
        curve: The best score so far, at the largest budget so far, whenever it changed: evaluations, their
            cost in seconds, score.
    """

    def __init__(
        self,
        inner: Evaluator[Any],
        budget: Budget,
        look: Callable[[Evaluation], None] = lambda evaluation: None,
        clock: CpuClock | None = None,
    ) -> None:
        super().__init__(inner.config)
        self.ctx = inner.ctx
        self.inner, self.budget, self._look = inner, budget, look
        self.clock = clock or CpuClock()
        self.workers = inner.workers
        self.evaluations, self.seconds, self.calls = 0, 0.0, 0
        self.first_cost: float | None = None
        self.curve: list[tuple[int, float, float]] = []
        self._best = (-math.inf, -math.inf)
        self._full: dict[Arch, Evaluation] = {}
        self._kept: list[Evaluation] = []
        self._log = AppendOnly(self._kept, Evaluation.to_json)

    def __getattr__(self, name: str) -> Any:
        """Return other attributes of the evaluator."""
        if name == "inner":  # not there yet while a copy is made
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def spent(self) -> bool:
        """Whether the budget is spent."""
        used = {
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "cpu seconds": self.clock.seconds,
        }
        return used[self.budget.unit] >= self.budget.amount

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Evaluate and count; see `repeat`."""
        return self._count(lambda: self.inner.evaluate(arch, budget=budget), arch, budget)

    def repeat(self, arch: Arch, index: int, *, budget: int | None = None) -> Evaluation:
        """Evaluate once more and count.

        Args:
            arch: The architecture.
            index: As in `RepeatedTraining.repeat`.
            budget: The effort; None is the evaluator's default.

        Raises:
            BudgetSpent: The budget is spent, or would be exceeded.
            RunError: Seconds are counted, and the evaluator does not report any.
        """
        assert isinstance(self.inner, RepeatedTraining), "the recipe check requires it"
        again = self.inner.repeat
        return self._count(lambda: again(arch, index, budget=budget), arch, budget)

    def _count(self, evaluate: Callable[[], Evaluation], arch: Arch, budget: int | None) -> Evaluation:
        if self.spent:
            raise BudgetSpent
        found = evaluate()
        self.calls += 1
        if self.first_cost is None:
            self.first_cost = found.cost
            self._look(found)
        if self.budget.unit == "seconds":
            if not (found.estimated or found.failed or found.cost > 0):
                raise RunError(
                    f"bench.budget: {self.budget} cannot be counted: {type(self.inner).__name__} reports no "
                    "cost of an evaluation. Give a number of evaluations instead."
                )
            if self.seconds + found.cost > self.budget.amount:
                raise BudgetSpent
        elif self.budget.unit == "cpu seconds" and self.spent:
            raise BudgetSpent
        self.seconds += found.cost
        if not found.estimated:
            self.evaluations += 1
            if budget is None and not found.failed and arch not in self._full:
                self._keep(found, arch)
            if not found.failed:
                self._note_best(math.inf if budget is None else budget, found.score)
        return found

    def _note_best(self, effort: float, score: float) -> None:
        """Add a point to the curve; scores of a smaller budget do not compare."""
        if (effort, score) > self._best:
            self._best = (effort, score)
            self.curve.append((self.evaluations, round(self.seconds, 3), score))

    def prepare(self) -> None:
        """Prepare the evaluator."""
        self.inner.prepare()

    def check_budget(self, budget: int) -> None:
        """Check an effort with the evaluator."""
        self.inner.check_budget(budget)

    def expect(self, arch: Arch, *, budget: int | None = None, repeat: int = 0) -> None:
        """Announce a candidate to the evaluator."""
        if repeat:
            self.inner.expect(arch, budget=budget, repeat=repeat)
        else:
            self.inner.expect(arch, budget=budget)

    def evaluate_result(self, arch: Arch) -> Evaluation:
        """Evaluate the result of a search at the evaluator's default effort, free of charge.

        So a search that was cut off after cheap evaluations is measured like all others.

        Args:
            arch: The architecture that the search returns.
        """
        return self._full.get(arch) or self.inner.evaluate(arch)

    @property
    def full(self) -> tuple[Evaluation, ...]:
        """Every architecture that was evaluated at the evaluator's default effort, once."""
        return tuple(self._kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the counters, and the state of the evaluator."""
        return {
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "calls": self.calls,
            "first_cost": self.first_cost,
            "curve": [list(point) for point in self.curve],
            "best": None if not self.curve else [_finite(self._best[0]), self._best[1]],
            "full": self._log.snapshot(),
            "inner": self.inner.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        self.evaluations, self.seconds = state["evaluations"], state["seconds"]
        self.calls, self.first_cost = state["calls"], state["first_cost"]
        self.curve = [(int(n), seconds, score) for n, seconds, score in state.get("curve", [])]
        if best := state.get("best"):
            self._best = (math.inf if best[0] is None else best[0], best[1])
        for evaluation in map(Evaluation.from_json, state["full"]):
            self._keep(evaluation, evaluation.arch)
        self.inner.load_state_dict(state["inner"])

    def _keep(self, evaluation: Evaluation, arch: Arch) -> None:
        self._full[arch] = evaluation
        self._kept.append(evaluation)


def _finite(effort: float) -> float | None:
    return None if math.isinf(effort) else effort
