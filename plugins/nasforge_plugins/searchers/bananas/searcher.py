"""The ``bananas`` searcher."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.searcher import AskTellSearcher
from nasforge.seeding import derive_seed
from nasforge_plugins.predictors.encodings import Array, Encoding
from nasforge_plugins.predictors.models import Ensemble
from nasforge_plugins.searchers.bananas.config import BananasConfig

__all__ = ["Bananas", "thompson_order"]

ATTEMPTS = 20
"""How many mutants are drawn per wanted candidate before fewer will do."""


def thompson_order(mean: Array, deviation: Array, rng: Random) -> list[int]:
    """Rank candidates by a draw from the normal distribution of each: independent Thompson sampling.

    Args:
        mean: ``(candidates,)``.
        deviation: ``(candidates,)``.
        rng: Draws in the order of the candidates.

    Returns:
        Positions of the candidates, the highest draw first.
    """
    drawn = [rng.gauss(float(m), float(d)) for m, d in zip(mean, deviation, strict=True)]
    return sorted(range(len(drawn)), key=lambda i: -drawn[i])


class Bananas(AskTellSearcher[BananasConfig]):
    """Bayesian optimisation with an ensemble of predictors (White et al., AAAI 2021, Algorithm 1).

    Candidates are mutants of the best architectures. Each gets a value drawn from the normal distribution
    that the ensemble predicts for it (independent Thompson sampling), and those with the highest values are
    evaluated. As in the published code, 10 random architectures come first, and 10 of about 100 candidates
    are evaluated per fit.

    ``predictor = "bananas"`` with ``encoding = "truncated-path"`` is the published ensemble. Two parts are
    not as published. Targets are scaled to mean 0 and deviation 1, because scores may have any unit; the
    published networks learn the error in percent. And a candidate is a random one of the ten best with one
    choice answered anew; the published code takes the best, then the next of five until there are 100, and
    replaces each operation with probability 1/4.
    """

    def setup(self, ctx: Context) -> None:
        """Start with nothing evaluated and nothing fitted.

        Raises:
            RunError: The space has no paths to encode.
        """
        super().setup(ctx)
        self._encoding = Encoding(ctx.space, self.config.encoding)
        self.evaluations = self.config.evaluations
        self.batch = self.choose_batch(self.config.batch)
        self._queue: list[Arch] = []

    def ask(self) -> Arch:
        """Return a random architecture at first, then the next of the batch that the predictors chose."""
        if self.proposed < self.config.initial:
            return self.sample()
        if not self._queue:
            self._queue = self._choose()
        return self._queue.pop(0) if self._queue else self.sample()

    def asks_ahead(self) -> bool:
        """Propose the random ones, and later the rest of the batch.

        If asynchronous, continue as soon as the random ones have been evaluated and fewer than a batch are
        pending.
        """
        initial = self.config.initial
        if self.proposed < initial or self._queue:
            return True
        return self.config.asynchronous and len(self.history) >= initial and len(self.pending) < self.batch

    def summary(self) -> Mapping[str, Any]:
        """Return the size of a batch, if the workers decided."""
        return {"batch": self.batch} if self.config.batch == "workers" else {}

    def state_dict(self) -> dict[str, Any]:
        """Return generator, history, and the rest of the batch."""
        queue = [arch.to_json() for arch in self._queue]
        return {**super().state_dict(), "batch": self.batch, "queue": queue}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self._queue = [Arch(arch) for arch in state["queue"]]
        self.batch = state.get("batch", self.batch)

    def _choose(self) -> list[Arch]:
        """Fit the ensemble to the history and return the batch it samples as best."""
        config, told = self.config, self.history
        worked = [e.score for e in told if not e.failed]
        candidates = self._candidates() if worked else []
        if not candidates:
            return []
        seeds = [derive_seed(self.ctx.seed, "bananas", len(told), member) for member in range(config.members)]
        ensemble = Ensemble(config.predictor, seeds)
        # What failed is to be avoided, but minus infinity cannot be fitted.
        scores = np.array([max(e.score, min(worked)) for e in told])
        ensemble.fit(self._encoding.fit([e.arch for e in told]), scores)
        count = 1 if config.asynchronous else self.batch
        mean, deviation = ensemble.predict(self._encoding.encode(candidates))
        return [candidates[i] for i in thompson_order(mean, deviation, self.rng)[:count]]

    def _candidates(self) -> list[Arch]:
        """Return new mutants of the best."""
        best = sorted((e for e in self.history if not e.failed), key=lambda e: -e.score)
        parents = list(dict.fromkeys(e.arch for e in best))[: self.config.parents]
        found: dict[Arch, None] = {}
        for _ in range(ATTEMPTS * self.config.candidates):
            child = self.rng.choice(parents)
            for _ in range(self.rng.randint(1, self.config.mutations)):
                child = self.ctx.space.mutate(child, self.rng)
            if not self.was_proposed(child) and self.allowed(child):
                found[child] = None
                if len(found) == self.config.candidates:
                    break
        return list(found)
