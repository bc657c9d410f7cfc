"""The ``evolution`` searcher."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.evaluator import Evaluation
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.searchers.evolution.config import EvolutionConfig

__all__ = ["Evolution"]


class Evolution(AskTellSearcher[EvolutionConfig]):
    """Regularized evolution (Real et al., AAAI 2019, Algorithm 1).

    The first population is drawn at random. Then every step draws a tournament from the living, mutates its
    best, and lets the oldest die, however good it is: an architecture survives only through its descendants,
    so one lucky score cannot rule the population.
    """

    def setup(self, ctx: Context) -> None:
        """Start without a population."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations

    @property
    def population(self) -> Sequence[Evaluation]:
        """The living, oldest first: those evaluated last."""
        return self.history[-self.config.population :]

    def ask(self) -> Arch:
        """Return a random architecture for the first population, then a child."""
        if self.proposed < self.config.population:
            return self.ctx.space.sample(self.rng)
        living = self.population
        tournament = [self.rng.choice(living) for _ in range(self.config.tournament)]
        parent = max(tournament, key=lambda evaluation: evaluation.score)
        return self.ctx.space.mutate(parent.arch, self.rng)

    def asks_ahead(self) -> bool:
        """Propose the whole first population, and then ``batch`` children."""
        if self.proposed < self.config.population:
            return True
        return len(self.history) >= self.config.population and len(self.pending) < self.config.batch
