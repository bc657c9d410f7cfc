"""Rounds of evaluations with growing budget: what ``successive-halving`` and ``hyperband`` share."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import count
from typing import TypeVar

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.evaluator import Effort, Evaluation
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.searchers.successive_halving.config import RungsConfig

__all__ = ["Rung", "RungSearcher", "check_budgets"]

R = TypeVar("R", bound=RungsConfig)

Rung = tuple[int, int]
"""How many architectures are evaluated, and with which budget."""


def check_budgets(ctx: Context, budgets: Iterable[int]) -> None:
    """Check all budgets before a search begins: the largest comes late, and would fail then.

    Args:
        ctx: Has the evaluator, if there is one.
        budgets: The budgets of the rungs.

    Raises:
        NasforgeError: The evaluator cannot take one of them.
    """
    if ctx.evaluator is not None:
        for budget in budgets:
            ctx.evaluator.check_budget(budget)


class RungSearcher(AskTellSearcher[R]):
    """Plays rounds: random architectures on the first rung, the best of a rung on the next.

    A result at one budget says nothing at another: each is evaluated anew.
    """

    def setup(self, ctx: Context) -> None:
        """Start the first round.

        Raises:
            NasforgeError: The evaluator cannot take one of the budgets.
        """
        super().setup(ctx)
        check_budgets(ctx, self.config.budgets)
        self.evaluations = self.config.evaluations
        self._round = 0
        self._rung = 0
        self._size = self.rungs(0)[0][0]
        self._done: list[Evaluation] = []
        self._promoted: list[Arch] = []

    @abstractmethod
    def rungs(self, number: int) -> tuple[Rung, ...]:
        """Return the rungs of a round.

        Args:
            number: Counts rounds from 0.
        """

    def budget(self) -> int:
        """Return the budget of the rung."""
        return self.rungs(self._round)[self._rung][1]

    def planned(self) -> Mapping[Effort, float]:
        """Return the number of evaluations that are left, rung by rung; rounds in which none fails."""
        planned: Counter[Effort] = Counter()
        skip, left = len(self.history), self.evaluations
        for number in count():
            known = 0
            for size, budget in self.rungs(number):
                made = min(size, left)
                planned[Effort(budget, known)] += max(0, made - skip)
                skip, left, known = max(0, skip - made), left - made, budget
                if left <= 0:
                    return planned
        return planned

    def ask(self) -> Arch:
        """Return a new architecture for the first rung, or the next that was promoted."""
        return self._promoted[len(self._done) + len(self.pending)] if self._rung else self.sample()

    def asks_ahead(self) -> bool:
        """Propose the rest of the rung."""
        return len(self._done) + len(self.pending) < self._size

    def tell(self, result: Evaluation) -> None:
        """At the end of a rung, promote its best; at the end of a round, begin another."""
        self._done.append(result)
        if len(self._done) < self._size:
            return
        ranked = sorted((e for e in self._done if not e.failed), key=lambda e: -e.score)
        rungs = self.rungs(self._round)[self._rung + 1 :]
        self._done, self._rung = [], self._rung + 1
        self._promoted = [e.arch for e in ranked[: rungs[0][0]]] if rungs else []
        if not self._promoted:
            self._round, self._rung = self._round + 1, 0
        self._size = len(self._promoted) or self.rungs(self._round)[0][0]
