"""The ``evolution`` searcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
        self.batch = min(self.choose_batch(self.config.batch), self.config.population)

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
        """Propose the whole first population, and then a child whenever fewer than ``batch`` are pending."""
        if self.proposed < self.config.population:
            return True
        return len(self.history) >= self.config.population and len(self.pending) < self.batch

    def summary(self) -> Mapping[str, Any]:
        """Return how many children were evaluated at the same time, if the workers decided."""
        return {"batch": self.batch} if self.config.batch == "workers" else {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the search, and how many children are evaluated at the same time."""
        return {**super().state_dict(), "batch": self.batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self.batch = state.get("batch", self.batch)
