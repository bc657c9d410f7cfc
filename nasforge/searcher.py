"""What finds architectures: gradient searchers and black-box ones share one contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from nasforge.arch import Arch
from nasforge.component import C, Component, Context
from nasforge.evaluator import Evaluation
from nasforge.seeding import derive_seed, random_from_json, random_to_json

__all__ = ["AskTellSearcher", "Searcher"]


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
    counts as a step, with its score and a cost of 0.
    """

    evaluations: int
    """How many evaluations the search makes; set it in `setup` or as a property."""

    def setup(self, ctx: Context) -> None:
        """Start with an empty history and a generator of the run's seed."""
        super().setup(ctx)
        self.rng = Random(derive_seed(ctx.seed, "searcher"))
        self.history: list[Evaluation] = []
        self._known: dict[Arch, Evaluation] = {}

    @abstractmethod
    def ask(self) -> Arch:
        """Propose the next architecture."""

    def tell(self, result: Evaluation) -> None:
        """Learn from an evaluation. Default: nothing."""

    @property
    def done(self) -> bool:
        """Whether every evaluation has been made."""
        return len(self.history) >= self.evaluations

    @property
    def total_steps(self) -> int | None:
        """The number of evaluations."""
        return self.evaluations

    def step(self) -> Mapping[str, float]:
        """Evaluate one proposal."""
        assert self.ctx.evaluator is not None, "the recipe check requires an [evaluator] table"
        arch = self.ask()
        known = self.known(arch)
        self._learn(
            self.ctx.evaluator.evaluate(arch) if known is None else replace(known, arch=arch, cost=0.0)
        )
        last = self.history[-1]
        return {**last.metrics, "score": last.score, "best_score": max(e.score for e in self.history)}

    def known(self, arch: Arch) -> Evaluation | None:
        """Return the first evaluation of an architecture, or of one that means the same; None if new."""
        return self._known.get(self.ctx.space.canonical(arch))

    def best(self) -> Arch:
        """Return the architecture with the highest score; the earliest of equals."""
        return max(self.history, key=lambda e: e.score).arch

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
        self._known.setdefault(self.ctx.space.canonical(result.arch), result)
        self.tell(result)
