"""The budget of a search: counts evaluations and their cost, and ends the search when it is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import RunError
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.recipe.bench_table import Budget

__all__ = ["BudgetMeter", "BudgetSpent"]


class BudgetSpent(BaseException):
    """Ends a step in the middle: another evaluation would go over the budget.

    Derives from BaseException so that handlers of failed evaluations do not catch it.
    """


class BudgetMeter(Evaluator[PluginConfig]):
    """Wraps an evaluator, counts its evaluations, and stops at the budget.

    An evaluation counts when it ends within the budget: a search of so many seconds does not learn the result
    of what would have ended later. Estimates cost their seconds and are no evaluations.

    Args:
        inner: The evaluator, set up.
        budget: The budget of the search.
        look: Called with the first evaluation before the searcher gets it.

    Attributes:
        evaluations: Number of evaluations.
        seconds: Their total cost, as reported by the evaluator.
        calls: Number of calls of the evaluator; estimates count.
    """

    def __init__(
        self,
        inner: Evaluator[Any],
        budget: Budget,
        look: Callable[[Evaluation], None] = lambda evaluation: None,
    ) -> None:
        super().__init__(inner.config)
        self.ctx = inner.ctx
        self.inner, self.budget, self._look = inner, budget, look
        self.workers = inner.workers
        self.evaluations, self.seconds, self.calls = 0, 0.0, 0
        self.first_cost: float | None = None
        self._full: dict[Arch, Evaluation] = {}

    def __getattr__(self, name: str) -> Any:
        """Return other attributes of the evaluator."""
        if name == "inner":  # not there yet while a copy is made
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def spent(self) -> bool:
        """Whether the budget is spent."""
        used = self.evaluations if self.budget.unit == "evaluations" else self.seconds
        return used >= self.budget.amount

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Evaluate and count.

        Args:
            arch: The architecture.
            budget: The effort; None is the evaluator's default.

        Raises:
            BudgetSpent: The budget is spent, or would be exceeded.
            RunError: Seconds are counted, and the evaluator does not report any.
        """
        if self.spent:
            raise BudgetSpent
        found = self.inner.evaluate(arch, budget=budget)
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
        self.seconds += found.cost
        if not found.estimated:
            self.evaluations += 1
            if budget is None and not found.failed:
                self._full.setdefault(arch, found)
        return found

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

    def state_dict(self) -> dict[str, Any]:
        """Return the counters, and the state of the evaluator."""
        return {
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "calls": self.calls,
            "first_cost": self.first_cost,
            "full": [evaluation.to_json() for evaluation in self._full.values()],
            "inner": self.inner.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state_dict`."""
        self.evaluations, self.seconds = state["evaluations"], state["seconds"]
        self.calls, self.first_cost = state["calls"], state["first_cost"]
        found = [Evaluation.from_json(row) for row in state["full"]]
        self._full = {evaluation.arch: evaluation for evaluation in found}
        self.inner.load_state_dict(state["inner"])
