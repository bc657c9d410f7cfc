"""The ``successive-halving`` searcher."""

from __future__ import annotations

from nasforge_plugins.searchers.successive_halving.config import SuccessiveHalvingConfig
from nasforge_plugins.searchers.successive_halving.rungs import Rung, RungSearcher

__all__ = ["SuccessiveHalving"]


class SuccessiveHalving(RungSearcher[SuccessiveHalvingConfig]):
    """Evaluates many architectures with little, and one in ``eta`` of them with more, rung by rung.

    Jamieson and Talwalkar, AISTATS 2016, figure 3, for maximisation. When a round is over, another one starts
    with new architectures.
    """

    def rungs(self, number: int) -> tuple[Rung, ...]:
        """Return the same rungs for every round: ``first / eta**i`` architectures on rung ``i``."""
        config = self.config
        return tuple(
            (max(1, int(config.first / config.eta**i + 1e-9)), budget)
            for i, budget in enumerate(config.budgets)
        )
