"""The ``hyperband`` searcher."""

from __future__ import annotations

import math

from nasforge_plugins.searchers.hyperband.config import HyperbandConfig
from nasforge_plugins.searchers.successive_halving.rungs import Rung, RungSearcher

__all__ = ["Hyperband"]


class Hyperband(RungSearcher[HyperbandConfig]):
    """Successive halving that starts at every budget in turn (Li et al., JMLR 18(185), 2018, Algorithm 1).

    Small budgets try many architectures but may misjudge them, so a bracket for each first rung hedges the
    bet. The published algorithm has budgets that grow by one factor; here each rung keeps the share that the
    ratio of its two budgets says, which is the same for such budgets.
    """

    def rungs(self, number: int) -> tuple[Rung, ...]:
        """Return a bracket: rounds start on the first rung, the second, and so on, then anew.

        A bracket that starts at budget ``b`` of a largest ``R`` has ``ceil(m / k * R / b)`` architectures on
        its first rung, ``k`` being its number of rungs and ``m`` that of all.
        """
        budgets = self.config.budgets
        bracket = budgets[number % len(budgets) :]
        first = math.ceil(len(budgets) / len(bracket) * bracket[-1] / bracket[0] - 1e-9)
        return tuple((max(1, int(first * bracket[0] / budget + 1e-9)), budget) for budget in bracket)
