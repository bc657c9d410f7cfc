"""The ``asha`` searcher."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.evaluator import Evaluation
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.searchers.asha.config import AshaConfig
from nasforge_plugins.searchers.successive_halving.rungs import check_budgets

__all__ = ["Asha"]


class Asha(AskTellSearcher[AshaConfig]):
    """Asynchronous successive halving (Li et al., MLSys 2020, Algorithm 2), for maximisation.

    Whenever a worker is free, the best architecture among the top ``1 / eta`` of a rung that has not been
    promoted yet is evaluated with the next budget, on the highest such rung; if there is none, a random one
    with the smallest budget. No rung is waited for.

    Results come in the order of a virtual clock on which ``batch`` workers run and an evaluation lasts as
    long as its budget. So what is found depends on ``batch``, but neither on the number of workers nor on
    their speed. Real workers end in about this order, since the time of a training grows with its epochs. A
    failed evaluation counts as a member of its rung and is never promoted.
    """

    def setup(self, ctx: Context) -> None:
        """Start with empty rungs.

        Raises:
            NasforgeError: The evaluator cannot take one of the budgets.
        """
        super().setup(ctx)
        check_budgets(ctx, self.config.budgets)
        self.evaluations = self.config.evaluations
        self.batch = self.choose_batch(self.config.batch)
        self._rungs: dict[int, list[Evaluation]] = {budget: [] for budget in self.config.budgets}
        self._promoted: dict[int, list[int]] = {budget: [] for budget in self.config.budgets}
        self._budget = self.config.budgets[0]
        self._now = 0
        self._ends: list[int] = []

    def ask(self) -> Arch:
        """Return the best architecture that can be promoted from the highest rung, or a random one."""
        budgets = self.config.budgets
        for low, high in reversed(list(pairwise(budgets))):
            if (place := self._promotable(low)) is not None:
                self._promoted[low].append(place)
                self._budget = high
                return self._rungs[low][place].arch
        self._budget = budgets[0]
        return self.sample()

    def budget(self) -> int:
        """Return the budget of the rung that the last proposal is for."""
        return self._budget

    def asks_ahead(self) -> bool:
        """Return whether one of the virtual workers is free."""
        return len(self.pending) < self.batch

    def next_result(self) -> int:
        """Return the place of the pending evaluation that ends first; of equals, the oldest."""
        self._ends = self._scheduled()
        return self._ends.index(min(self._ends))

    def tell(self, result: Evaluation) -> None:
        """Enter the result into its rung, and move the clock to its end."""
        assert result.budget is not None, "each proposal has a budget"
        self._rungs[result.budget].append(result)
        if self._ends:  # none while a history is replayed: the clock comes with the state
            self._now = self._ends.pop(self._ends.index(min(self._ends)))

    def summary(self) -> Mapping[str, Any]:
        """Return how many evaluations were under way at the same time, and the size of each rung."""
        return {"batch": self.batch, "rungs": [len(rung) for rung in self._rungs.values()]}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the search, the promotions, and the clock."""
        clock = {"now": self._now, "ends": self._scheduled()}
        promoted = list(self._promoted.values())
        return {**super().state_dict(), "batch": self.batch, "clock": clock, "promoted": promoted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self.batch = state["batch"]
        self._now, self._ends = state["clock"]["now"], list(state["clock"]["ends"])
        self._promoted = dict(zip(self.config.budgets, map(list, state["promoted"]), strict=True))

    def _promotable(self, budget: int) -> int | None:
        """Return the place in a rung of the best architecture to promote; None if there is none."""
        rung = self._rungs[budget]
        best_first = sorted(range(len(rung)), key=lambda place: -rung[place].score)
        top = best_first[: int(len(rung) / self.config.eta + 1e-9)]
        promoted = self._promoted[budget]
        return next((p for p in top if p not in promoted and not rung[p].failed), None)

    def _scheduled(self) -> list[int]:
        """Return when each pending evaluation ends; those without an entry begin now."""
        new = self.pending[len(self._ends) :]
        return [*self._ends, *(self._now + (proposal.budget or 0) for proposal in new)]
