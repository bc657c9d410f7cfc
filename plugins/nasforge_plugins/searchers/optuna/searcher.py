"""The ``optuna`` searcher."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.errors import CheckpointError, RunError
from nasforge.evaluator import Evaluation
from nasforge.pareto import Objectives
from nasforge.searcher import DRAWS, AskTellSearcher
from nasforge.seeding import derive_seed
from nasforge_plugins.searchers.optuna.coding import Coding
from nasforge_plugins.searchers.optuna.config import OptunaConfig
from nasforge_plugins.searchers.optuna.samplers import STATEFUL, make_sampler

__all__ = ["OptunaSearcher"]

PATIENCE = 10
"""How many proposals in a row may be over a limit before one that keeps the limits is drawn at random."""


class OptunaSearcher(AskTellSearcher[OptunaConfig]):
    """Asks a sampler of Optuna what to evaluate and tells it what came out (Akiba et al., KDD 2019).

    Every choice of the space is a categorical parameter. CMA-ES (Hansen, 2016) knows real numbers only: it
    gets a weight per option, whose heaviest is the answer. Many weights mean the same architecture then, so
    it gets along with repeated scores and flat regions that it was not made for.

    Proposals over a limit count as failed trials: samplers see that they are done, not why. The Gaussian
    process forgets failed trials and would propose the same for ever. So after ten in a row, samplers without
    a state of their own are told of a random architecture that keeps the limits, a new one if there is one.

    Resume makes the study anew. TPE, Gaussian process and random search depend on what they were told and on
    a seed per proposal, so trials are added as they were; CMA-ES and NSGA-II are asked again for all their
    proposals, which takes no evaluation.
    """

    def setup(self, ctx: Context) -> None:
        """Start an empty study, in memory."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations
        self.objectives = Objectives(self.config.objectives)
        self.costs = self.objectives.costs
        self._coding = Coding(ctx.space, real=self.config.sampler == "cma-es")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            directions=["maximize"] * len(self.config.objectives), sampler=self._sampler(0)
        )
        self._trials: list[tuple[dict[str, Any], bool]] = []
        self._open: optuna.Trial | dict[str, Any] | None = None
        self._replayed: list[tuple[dict[str, Any], bool]] = []

    def front(self) -> tuple[Arch, ...]:
        """Return the Pareto set of what was evaluated; with one objective, the best."""
        if len(self.config.objectives) == 1:
            return (self.best(),)
        return tuple(e.arch for e in self.objectives.front(self.comparable()))

    def ask(self) -> Arch:
        """Return what the sampler proposes.

        Raises:
            RunError: A thousand proposals in a row mean no valid architecture, or a thousand random ones are
                over a limit.
        """
        for _ in range(DRAWS):
            self._close(None)  # the proposal before was over a limit, or none
            if self.config.sampler not in STATEFUL and self._rejected() >= PATIENCE:
                drawn = self.sample()
                self._open = self._coding.values(drawn)
                self._trials.append((self._open, False))
                return drawn
            trial = self._asked()
            self._open = trial
            self._trials.append((dict(trial.params), False))
            if (arch := self._coding.arch(trial.params)) is not None:
                return arch
        raise RunError(
            f"searcher 'optuna': {DRAWS:,} proposals in a row fit no architecture of the space. "
            "Use another searcher, or give the space a method discretize()."
        )

    def tell(self, result: Evaluation) -> None:
        """Tell the sampler the objectives.

        Raises:
            RunError: The evaluator does not report an objective.
            CheckpointError: The sampler proposes something else than it did before the restart.
        """
        while self._replayed:
            values, told = self._replayed.pop(0)
            self._repeat(values)
            if told:
                break
        values, _ = self._trials[-1]
        self._trials[-1] = (values, True)
        self._close(None if result.failed else list(self.objectives.extract(result)))

    def state_dict(self) -> dict[str, Any]:
        """Return generator, history, and every trial with whether it was evaluated."""
        trials = [[params, told] for params, told in self._trials]
        return {**super().state_dict(), "trials": trials}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the study anew; see the class."""
        self._replayed = [(dict(params), bool(told)) for params, told in state["trials"]]
        super().load_state_dict(state)
        for params, _ in self._replayed:  # proposals without a result
            self._repeat(params)
        self._replayed = []

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        return make_sampler(self.config, derive_seed(self.ctx.seed, "optuna", number))

    def _rejected(self) -> int:
        """Return the number of proposals without a result since the last evaluation."""
        return sum(1 for _ in takewhile(lambda trial: not trial[1], reversed(self._trials)))

    def _asked(self) -> optuna.Trial:
        if self.config.sampler not in STATEFUL:
            self._study.sampler = self._sampler(len(self._trials))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about samplers that fall back to others for a trial
            return self._study.ask(self._coding.parameters)

    def _repeat(self, params: dict[str, Any]) -> None:
        """Make a trial of an earlier process again."""
        self._close(None)
        self._trials.append((params, False))
        if self.config.sampler not in STATEFUL:
            self._open = params
            return
        trial = self._asked()
        if dict(trial.params) != params:
            raise CheckpointError(
                f"searcher 'optuna': sampler {self.config.sampler!r} proposes something else than before the "
                "restart. Resume with the version of Optuna that the search began with, or start anew."
            )
        self._open = trial

    def _close(self, values: list[float] | None) -> None:
        """End the open trial; without values it has failed."""
        if self._open is None:
            return
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        if isinstance(self._open, optuna.Trial):
            self._study.tell(self._open, values, state)
        else:
            trial = create_trial(
                state=state,
                params=self._open,
                distributions=self._coding.parameters,
                values=values,
            )
            self._study.add_trial(trial)
        self._open = None
