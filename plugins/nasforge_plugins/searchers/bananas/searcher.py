"""The ``bananas`` searcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.searcher import AskTellSearcher
from nasforge.seeding import derive_seed
from nasforge_plugins.searchers.bananas.config import BananasConfig
from nasforge_plugins.searchers.bananas.predictors import Ensemble, encode

__all__ = ["Bananas"]

ATTEMPTS = 20
"""How many mutants are drawn per wanted candidate before fewer will do."""


class Bananas(AskTellSearcher[BananasConfig]):
    """Bayesian optimisation with an ensemble of predictors (White et al., AAAI 2021, Algorithm 1).

    Candidates are mutants of the best architectures. Each gets a value drawn from the normal distribution
    that the ensemble predicts for it (independent Thompson sampling), and those with the highest values are
    evaluated. Architectures are encoded by the options they pick, which every space has; the paper's paths
    exist in cell spaces only.
    """

    def setup(self, ctx: Context) -> None:
        """Start with nothing evaluated and nothing fitted."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations
        self._queue: list[Arch] = []

    def ask(self) -> Arch:
        """Return a random architecture at first, then the next of the batch that the predictors chose."""
        if len(self.history) < self.config.initial:
            return self.sample()
        if not self._queue:
            self._queue = self._choose()
        return self._queue.pop(0) if self._queue else self.sample()

    def state_dict(self) -> dict[str, Any]:
        """Return generator, history, and the rest of the batch."""
        return {**super().state_dict(), "queue": [arch.to_json() for arch in self._queue]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self._queue = [Arch(arch) for arch in state["queue"]]

    def _choose(self) -> list[Arch]:
        """Fit the ensemble to the history and return the batch it samples as best."""
        candidates = self._candidates()
        if not candidates:
            return []
        choices, config = self.ctx.space.choices, self.config
        seeds = [
            derive_seed(self.ctx.seed, "bananas", len(self.history), member)
            for member in range(config.members)
        ]
        ensemble = Ensemble(config.predictor, seeds)
        ensemble.fit(
            encode(choices, [e.arch for e in self.history]), np.array([e.score for e in self.history])
        )
        mean, deviation = ensemble.predict(encode(choices, candidates))
        drawn = [self.rng.gauss(float(m), float(d)) for m, d in zip(mean, deviation, strict=True)]
        ranked = sorted(range(len(candidates)), key=lambda i: -drawn[i])
        return [candidates[i] for i in ranked[: config.batch]]

    def _candidates(self) -> list[Arch]:
        """Return new mutants of the best."""
        best = sorted(self.history, key=lambda e: -e.score)
        parents = list(dict.fromkeys(e.arch for e in best))[: self.config.parents]
        found: dict[Arch, None] = {}
        for _ in range(ATTEMPTS * self.config.candidates):
            child = self.rng.choice(parents)
            for _ in range(self.rng.randint(1, self.config.mutations)):
                child = self.ctx.space.mutate(child, self.rng)
            if not self.was_seen(child) and self.allowed(child):
                found[child] = None
                if len(found) == self.config.candidates:
                    break
        return list(found)
