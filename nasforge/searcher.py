"""The contract of searchers, gradient-based and black-box alike."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Literal, NamedTuple

from nasforge.arch import Arch
from nasforge.component import C, Component, Context, Work, forecast_costs
from nasforge.evaluator import Effort, Evaluation, Evaluator, forecast_evaluations
from nasforge.plugins import capability
from nasforge.rows import AppendOnly
from nasforge.seeding import derive_seed, random_from_json, random_to_json

__all__ = ["AskTellSearcher", "BaselineSearcher", "Proposal", "Searcher"]

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

    def option_weights(self) -> Mapping[str, Sequence[float]]:
        """Return the current weight of every option, in the order of `Choice.options`, by choice name.

        Recorded after every step for reports. Default: nothing, as for searchers that learn no weights.
        """
        return {}

    def summary(self) -> Mapping[str, Any]:
        """Return further entries for the result of the search, as plain JSON data. Default: none.

        ``nasforge run`` prints the ``text`` of each entry that is a mapping and has one.
        """
        return {}

    def workload(self) -> Sequence[Work] | None:
        """Return the work that is left, for the forecast of a run. Default: None, it is unknown.

        The engine's checkpoints are counted elsewhere.
        """
        return None


class Proposal(NamedTuple):
    """An architecture that was proposed, and the effort to evaluate it with; None is the evaluator's own."""

    arch: Arch
    budget: int | None


class AskTellSearcher(Searcher[C]):
    """A black-box searcher: write `ask` and `tell`, get `step`, `best` and exact resume.

    Resume replays `tell` with the stored evaluations, so all that `tell` builds is rebuilt; draw random
    numbers from ``self.rng`` in `ask` only. A proposal that was evaluated before is not evaluated again: it
    counts as a step, with its score and a cost of 0. A proposal over a limit of the recipe's
    ``[constraints]`` is not evaluated at all: `ask` is called again. An `ask` that would repeat itself looks
    at `allowed` first.

    A searcher that overrides `asks_ahead` proposes several before it is told of the first, so that they are
    evaluated at the same time. Results come in the order of the proposals, or in that of `next_result`; the
    number of workers and their speed change nothing.

    An evaluation with `Evaluation.failed` has the score minus infinity and no metrics.
    """

    evaluations: int
    """How many evaluations the search makes; set it in `setup` or as a property."""

    costs: tuple[str, ...] = ()
    """Costs that `tell` wants among the metrics, see `nasforge.constraints.COSTS`; set it in `setup`. Those
    that the recipe's ``[constraints]`` speak of are there anyway."""

    pending: list[Proposal]
    """Proposals without a result yet, oldest first."""

    def setup(self, ctx: Context) -> None:
        """Start with an empty history and a generator of the run's seed."""
        super().setup(ctx)
        self.rng = Random(derive_seed(ctx.seed, "searcher"))
        self.history: list[Evaluation] = []
        self.pending = []
        self._seen: set[Arch] = set()
        self._unannounced: list[Proposal] = []
        self._known: dict[tuple[Arch, int | None], Evaluation] = {}
        self._history_log = AppendOnly(self.history, Evaluation.to_json)
        self._best_so_far: Evaluation | None = None
        self._compared_count = 0

    @abstractmethod
    def ask(self) -> Arch:
        """Propose the next architecture."""

    def tell(self, result: Evaluation) -> None:
        """Learn from an evaluation. Default: nothing."""

    def asks_ahead(self) -> bool:
        """Return whether `ask` can make another proposal before it is told of those that are pending.

        Called when some are pending. The answer depends on history and `pending` alone, so that the number of
        workers does not change the search. Default: no.
        """
        return False

    def next_result(self) -> int:
        """Return the place in `pending` of the result that `tell` gets next. Default: 0, the oldest.

        It depends on history and `pending` alone.
        """
        return 0

    def choose_batch(self, batch: int | Literal["workers"]) -> int:
        """Return a number of pending proposals; "workers" is two for each worker. Save it with the state."""
        return self._enough(2) if batch == "workers" else batch

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
                if not self.was_proposed(arch):
                    break
        if found is None:
            raise self.ctx.constraints.infeasible_error(DRAWS)
        return found

    @property
    def proposed(self) -> int:
        """How many proposals were made, the pending ones included."""
        return len(self.history) + len(self.pending)

    def has_enough_pending(self) -> bool:
        """Return whether all workers have enough to do.

        For `asks_ahead` of searchers whose proposals do not depend on results, nor on the number of workers.
        """
        return len(self.pending) >= self._enough(3)

    def _enough(self, each: int) -> int:
        workers = self.ctx.evaluator.workers if self.ctx.evaluator else 1
        # Results are told in order: while a slow one is waited for, the other workers need work.
        return 1 if workers == 1 else each * workers

    @property
    def done(self) -> bool:
        """Whether every evaluation has been made."""
        return len(self.history) >= self.evaluations

    @property
    def total_steps(self) -> int | None:
        """The number of evaluations."""
        return self.evaluations

    def step(self) -> Mapping[str, float]:
        """Learn from one proposal, and make new ones first if there is none, or room for more.

        Raises:
            RunError: No proposal keeps the limits of the recipe.
        """
        evaluator = self.ctx.evaluator
        assert evaluator is not None, "the recipe check requires an [evaluator] table"
        self._propose(evaluator)
        place = self.next_result()
        arch, budget = self.pending[place]
        known = self.known(arch, budget)
        if known is None or known.estimated:
            result = self._with_costs(replace(evaluator.evaluate(arch, budget=budget), budget=budget))
        else:
            result = replace(known, arch=arch, cost=0.0)
        del self.pending[place]
        self._learn(result)
        numbers = {"score": result.score, "best_score": self._best_evaluation().score}
        finite = {name: value for name, value in numbers.items() if value != -math.inf}
        return {**result.metrics, **finite, **({"failed": 1.0} if result.failed else {})}

    def planned(self) -> Mapping[Effort, float]:
        """Return the number of evaluations that are left, by effort, for `workload`."""
        return {Effort(): max(0, self.evaluations - len(self.history))}

    def workload(self) -> Sequence[Work] | None:
        """Return the work of the evaluations that are planned, and of the costs that go with them."""
        works = forecast_evaluations(self.ctx, planned := self.planned())
        return None if works is None else works + forecast_costs(self.ctx, self.costs, planned)

    def known(self, arch: Arch, budget: int | None = None) -> Evaluation | None:
        """Return the first evaluation of an architecture, or of one that means the same; None if new.

        An estimate counts until there is an evaluation.

        Args:
            arch: The architecture.
            budget: The effort it must have been evaluated with.
        """
        return self._known.get((self.ctx.space.canonical(arch), budget))

    def was_proposed(self, arch: Arch) -> bool:
        """Return whether an architecture, or one that means the same, was proposed with any effort."""
        return self.ctx.space.canonical(arch) in self._seen

    def comparable(self) -> Sequence[Evaluation]:
        """Return what `best` compares: no estimates or failures, and of the largest budget so far."""
        if all(e.budget is None and not e.estimated and not e.failed for e in self.history):
            return self.history
        evaluated = [e for e in self.history if not e.estimated and not e.failed] or self.history
        most = max(e.effort for e in evaluated)
        return [e for e in evaluated if e.effort == most]

    def best(self) -> Arch:
        """Return the architecture with the highest score, at the largest budget; the earliest of equals."""
        return self._best_evaluation().arch

    def state_dict(self) -> dict[str, Any]:
        """Return the generator, the history and what is pending."""
        return {
            "rng": random_to_json(self.rng),
            "history": self._history_log.snapshot(),
            "pending": [[arch.to_json(), budget] for arch, budget in self.pending],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replay the history, then restore the generator."""
        for row in state["history"]:
            self._learn(Evaluation.from_json(row))
        for arch, budget in state["pending"]:
            self._note(Proposal(Arch(arch), budget))
        random_from_json(self.rng, state["rng"])

    def _best_evaluation(self) -> Evaluation:
        """Return the best of `comparable`; looks at each evaluation once in the whole search."""
        for evaluation in self.history[self._compared_count :]:
            if self._best_so_far is None or evaluation.rank > self._best_so_far.rank:
                self._best_so_far = evaluation
        self._compared_count = len(self.history)
        assert self._best_so_far is not None, "best is valid after the first step"
        return self._best_so_far

    def _learn(self, result: Evaluation) -> None:
        self.history.append(result)
        canonical = self.ctx.space.canonical(result.arch)
        known = self._known.setdefault((canonical, result.budget), result)
        if known.estimated:
            self._known[canonical, result.budget] = result
        self._seen.add(canonical)
        self.tell(result)

    def _with_costs(self, result: Evaluation) -> Evaluation:
        if result.failed:
            return result
        metrics = self.ctx.constraints.add_costs(result.arch, result.metrics, self.costs)
        return replace(result, metrics=metrics)

    def _propose(self, evaluator: Evaluator[Any]) -> None:
        while self.proposed < self.evaluations and (not self.pending or self.asks_ahead()):
            self._note(Proposal(self._ask_allowed(), self.budget()))
        for arch, budget in self._unannounced:
            evaluator.expect(arch, budget=budget)
        self._unannounced = []

    def _note(self, proposal: Proposal) -> None:
        canonical, budget = self.ctx.space.canonical(proposal.arch), proposal.budget
        # One that is pending already is known when this one's turn comes.
        if canonical not in self._seen or (
            (canonical, budget) not in self._known
            and all((self.ctx.space.canonical(p.arch), p.budget) != (canonical, budget) for p in self.pending)
        ):
            self._unannounced.append(proposal)
        self.pending.append(proposal)
        self._seen.add(canonical)

    def _ask_allowed(self) -> Arch:
        for _ in range(DRAWS):
            if self.allowed(arch := self.ask()):
                return arch
        raise self.ctx.constraints.infeasible_error(DRAWS)


@capability("searcher")
class BaselineSearcher(AskTellSearcher[C]):
    """The searcher that benches compare the others with, unless their recipe names another one."""
