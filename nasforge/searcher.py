"""What finds architectures: gradient searchers and black-box ones share one contract."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from nasforge.arch import Arch
from nasforge.component import C, Component, Context
from nasforge.evaluator import Evaluation
from nasforge.seeding import derive_seed, random_from_json, random_to_json

__all__ = ["AskTellSearcher", "Searcher"]

DRAWS = 1000
"""How many proposals over a limit, or seen before, are drawn in a row before a search gives up on others."""


class Searcher(Component[C], ABC):
    """Owns one step of a search; the engine owns the loop.

    Life cycle: `setup`, then ``while not searcher.done: searcher.step()``, with a checkpoint after every
    step. One step is an epoch, a generation or a trial. `best` is valid after every step.
    """

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the search has ended."""

    @property
    def total_steps(self) -> int | None:
        """How many steps the search takes in all, if that is known: for progress bars."""
        return None

    @abstractmethod
    def step(self) -> Mapping[str, float]:
        """Make one unit of progress and return its metrics."""

    @abstractmethod
    def best(self) -> Arch:
        """Return the best architecture so far."""

    def front(self) -> tuple[Arch, ...]:
        """Return the Pareto set so far. Default: `best` alone."""
        return (self.best(),)


class AskTellSearcher(Searcher[C]):
    """A black-box searcher: write `ask` and `tell`, get `step`, `best` and exact resume.

    Resume replays `tell` with the stored evaluations, so whatever `tell` builds is rebuilt; draw random
    numbers from ``self.rng`` in `ask` only. A proposal that was evaluated before is not evaluated again: it
    counts as a step, with its score and a cost of 0. A proposal over a limit of the recipe's
    ``[constraints]`` is not evaluated at all: `ask` is called again. An `ask` that would repeat itself looks
    at `allowed` first.
    """

    evaluations: int
    """How many evaluations the search makes; set it in `setup` or as a property."""

    def setup(self, ctx: Context) -> None:
        """Start with an empty history and a generator of the run's seed."""
        super().setup(ctx)
        self.rng = Random(derive_seed(ctx.seed, "searcher"))
        self.history: list[Evaluation] = []
        self._seen: set[Arch] = set()
        self._known: dict[tuple[Arch, int | None], Evaluation] = {}

    @abstractmethod
    def ask(self) -> Arch:
        """Propose the next architecture."""

    def tell(self, result: Evaluation) -> None:
        """Learn from an evaluation. Default: nothing."""

    def budget(self) -> int | None:
        """Return the effort for the proposal that `ask` has just made. Default: the evaluator's own."""
        return None

    def allowed(self, arch: Arch) -> bool:
        """Return whether an architecture keeps the limits of the recipe."""
        return self.ctx.constraints.allow(arch)

    def sample(self) -> Arch:
        """Draw an architecture that keeps the limits and is new, if there is one within a thousand draws.

        Call it in `ask` only.

        Raises:
            RunError: No drawn architecture keeps the limits.
        """
        found = None
        for _ in range(DRAWS):
            arch = self.ctx.space.canonical(self.ctx.space.sample(self.rng))
            if self.allowed(arch):
                found = arch
                if not self.was_seen(arch):
                    break
        if found is None:
            raise self.ctx.constraints.impossible(DRAWS)
        return found

    @property
    def done(self) -> bool:
        """Whether every evaluation has been made."""
        return len(self.history) >= self.evaluations

    @property
    def total_steps(self) -> int | None:
        """The number of evaluations."""
        return self.evaluations

    def step(self) -> Mapping[str, float]:
        """Evaluate one proposal.

        Raises:
            RunError: No proposal keeps the limits of the recipe.
        """
        assert self.ctx.evaluator is not None, "the recipe check requires an [evaluator] table"
        arch = self._ask_allowed()
        budget = self.budget()
        known = self.known(arch, budget)
        if known is None:
            self._learn(replace(self.ctx.evaluator.evaluate(arch, budget=budget), budget=budget))
        else:
            self._learn(replace(known, arch=arch, cost=0.0))
        last = self.history[-1]
        return {**last.metrics, "score": last.score, "best_score": max(e.score for e in self.comparable())}

    def known(self, arch: Arch, budget: int | None = None) -> Evaluation | None:
        """Return the first evaluation of an architecture, or of one that means the same; None if new.

        Args:
            arch: The architecture.
            budget: The effort it must have been evaluated with.
        """
        return self._known.get((self.ctx.space.canonical(arch), budget))

    def was_seen(self, arch: Arch) -> bool:
        """Return whether an architecture, or one that means the same, was evaluated with any effort."""
        return self.ctx.space.canonical(arch) in self._seen

    def comparable(self) -> Sequence[Evaluation]:
        """Return the evaluations that `best` compares: those of the largest budget so far."""
        if all(e.budget is None for e in self.history):
            return self.history
        most = max(_effort(e) for e in self.history)
        return [e for e in self.history if _effort(e) == most]

    def best(self) -> Arch:
        """Return the architecture with the highest score, at the largest budget; the earliest of equals."""
        return max(self.comparable(), key=lambda e: e.score).arch

    def state_dict(self) -> dict[str, Any]:
        """Return the generator and the history."""
        return {"rng": random_to_json(self.rng), "history": [e.to_json() for e in self.history]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replay the history, then restore the generator."""
        for row in state["history"]:
            self._learn(Evaluation.from_json(row))
        random_from_json(self.rng, state["rng"])

    def _learn(self, result: Evaluation) -> None:
        self.history.append(result)
        canonical = self.ctx.space.canonical(result.arch)
        self._known.setdefault((canonical, result.budget), result)
        self._seen.add(canonical)
        self.tell(result)

    def _ask_allowed(self) -> Arch:
        for _ in range(DRAWS):
            if self.allowed(arch := self.ask()):
                return arch
        raise self.ctx.constraints.impossible(DRAWS)


def _effort(evaluation: Evaluation) -> float:
    return math.inf if evaluation.budget is None else evaluation.budget
