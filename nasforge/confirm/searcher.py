"""A searcher whose answer is checked by discrete trainings before it counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from nasforge.arch import Arch
from nasforge.component import Work
from nasforge.config import ConfirmConfig, PluginConfig
from nasforge.confirm.race import Heat, Race
from nasforge.errors import RecipeError, RunError
from nasforge.evaluator import Effort, Evaluation, Evaluator, RepeatedTraining, forecast_evaluations
from nasforge.searcher import Searcher
from nasforge.seeding import derive_seed
from nasforge.training.stopping import Stopped

__all__ = ["ConfirmedSearcher"]


class ConfirmedSearcher(Searcher[PluginConfig]):
    """Lets a searcher finish, then races its answer against neighbours and earlier answers.

    A step is a step of the searcher, later a rung of a race. A winner of a race beyond noise is the new
    incumbent; another pass begins from its neighbours. Passes of growth follow, against larger neighbours.

    Args:
        inner: The searcher, set up.
        options: The race.
        evaluator: Evaluates the candidates.

    Attributes:
        least_candidates: How many candidates the first rung has, without earlier answers of the search.

    Raises:
        RecipeError: The evaluator takes no such budget, architectures have fewer neighbours than asked, or
            growth is asked for and the space does not tell what architectures cost.
    """

    def __init__(self, inner: Searcher[Any], options: ConfirmConfig, evaluator: Evaluator[Any]) -> None:
        super().__init__(inner.config)
        self.ctx, self.inner, self.options, self.evaluator = inner.ctx, inner, options, evaluator
        self.derivations: list[Arch] = []
        self.races: list[Race] = []
        self.seconds = 0.0
        self._known: dict[Heat, float] = {}
        self._reason = ""
        for budget in options.rungs:
            evaluator.check_budget(budget)
        space = self.ctx.space
        example = space.canonical(space.sample(Random(self.ctx.seed)))
        if options.growth and not self._knows_costs(example):
            raise RecipeError(
                "recipe",
                [
                    f"searcher.confirm.growth: {options.growth}, but this space tells no multiply-adds "
                    "of its architectures. Leave it out, or give the space a method cost()."
                ],
            )
        most = len(space.neighbours(example))
        self.least_candidates = 1 + (most if options.neighbours is None else options.neighbours)
        if options.neighbours is not None and options.neighbours > most:
            raise RecipeError(
                "recipe",
                [
                    f"searcher.confirm.neighbours: {options.neighbours}, but an architecture of this space "
                    f"has {most}. Write at most {most}, or leave it out."
                ],
            )

    @property
    def done(self) -> bool:
        """Whether the searcher has finished, and the last pass."""
        if not self.inner.done or (self.races and not self.races[-1].done):
            return False
        return self._choose_growing() is None

    @property
    def total_steps(self) -> int | None:
        """The steps of the searcher and all rungs; a pass whose incumbent wins is the last of its kind."""
        inner, options = self.inner.total_steps, self.options
        return None if inner is None else inner + len(options.rungs) * (options.passes + options.growth)

    def step(self) -> Mapping[str, float]:
        """Make a step of the searcher, or evaluate all candidates of a rung.

        Raises:
            RunError: No candidate could be evaluated.
        """
        if not self.inner.done:
            metrics = self.inner.step()
            self._note_derivation()
            return metrics
        if not self.races or self.races[-1].done:
            self.races.append(self._start_race(growing=bool(self._choose_growing())))
        try:
            return self._run_rung(self.races[-1])
        except Stopped as stop:
            stop.within_step = False  # evaluations that are over are kept by their evaluator
            raise

    def best(self) -> Arch:
        """Return the winner of the last race that is over; before that, the searcher's answer."""
        return next((race.winner for race in reversed(self.races) if race.done), None) or self.inner.best()

    def option_weights(self) -> Mapping[str, Sequence[float]]:
        """Return the weights that the searcher has learned."""
        return self.inner.option_weights()

    def summary(self) -> Mapping[str, Any]:
        """Return the searcher's summary, and who beat whom by how much."""
        found = dict(self.inner.summary())
        if not self.done:
            return found
        races = [self._describe(race) for race in self.races]
        text = "; ".join(race["text"] for race in races)
        return {**found, "confirm": {"text": text, "seconds": round(self.seconds, 3), "races": races}}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the searcher, and all races."""
        return {
            "searcher": self.inner.state_dict(),
            "derivations": [arch.to_json() for arch in self.derivations],
            "races": [race.state_dict() for race in self.races],
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.inner.load_state_dict(state["searcher"])
        self.derivations = [Arch(arch) for arch in state["derivations"]]
        self.races = [Race.from_state(self.options, race) for race in state["races"]]
        self._known = {heat: score for race in self.races for heat, score in race.scores.items()}
        self.seconds = state["seconds"]

    def workload(self) -> Sequence[Work] | None:
        """Return the work of the searcher, and of all races as if no pass were the last before its time."""
        works = self.inner.workload()
        races = forecast_evaluations(replace(self.ctx, evaluator=self.evaluator), self._planned())
        return None if works is None or races is None else [*works, *races]

    def _planned(self) -> Mapping[Effort, float]:
        """Return the evaluations of the races that are left, by effort."""
        options, planned = self.options, Counter[Effort]()
        left = options.passes + options.growth - sum(race.done for race in self.races)
        going = self.races[-1] if self.races and not self.races[-1].done else None
        for number in range(left):
            first = going if number == 0 else None
            runners = len(first.runners) if first else self.least_candidates
            if not self.races and number == 0:
                runners += options.derivations
            known = 0
            for rung, budget in enumerate(options.rungs):
                if first and rung < first.rung:
                    continue
                last = rung == len(options.rungs) - 1
                planned[Effort(budget, known)] += runners
                # Repeats are trainings of their own.
                planned[Effort(budget)] += runners * (options.repeats - 1) if last else 0
                runners, known = self._count_kept(runners, rung), budget
        return planned

    def _count_kept(self, runners: int, rung: int) -> int:
        """Return the number of candidates that are kept after a rung, see `Race.advance`."""
        kept = max(2, math.ceil(runners * self.options.keep))
        return min(kept, self.options.finalists) if rung == len(self.options.rungs) - 2 else kept

    def _note_derivation(self) -> None:
        """Keep the last different answers, the newest last."""
        arch = self.ctx.space.canonical(self.inner.best())
        self.derivations = [*(known for known in self.derivations if known != arch), arch]
        self.derivations = self.derivations[-1 - self.options.derivations :]

    def _choose_growing(self) -> bool | None:
        """Return whether the next race is one of growth; None if there is no next race."""
        options = self.options
        grown = [race for race in self.races if race.growing]
        if not grown:
            kept = bool(self.races) and self.races[-1].winner == self.races[-1].incumbent
            if len(self.races) < options.passes and not kept:
                return False
        elif grown[-1].winner == grown[-1].incumbent:
            return None
        return True if len(grown) < options.growth and self._larger_neighbours() else None

    def _knows_costs(self, arch: Arch) -> bool:
        try:
            self.ctx.constraints.value(arch, "macs")
        except RunError:
            return False
        return True

    def _larger_neighbours(self) -> list[Arch]:
        """Return the neighbours of the incumbent that need more multiply-adds and keep the limits."""
        space, constraints = self.ctx.space, self.ctx.constraints
        incumbent = space.canonical(self.best())
        least = constraints.value(incumbent, "macs")
        allowed = filter(constraints.allow, dict.fromkeys(map(space.canonical, space.neighbours(incumbent))))
        return [arch for arch in allowed if constraints.value(arch, "macs") > least]

    def _keep_large(self, archs: Sequence[Arch], incumbent: Arch) -> list[Arch]:
        """Return the architectures that need at least ``least_macs`` of the incumbent's multiply-adds."""
        if not self.options.least_macs or not self._knows_costs(incumbent):
            return list(archs)
        least = self.options.least_macs * self.ctx.constraints.value(incumbent, "macs")
        return [arch for arch in archs if self.ctx.constraints.value(arch, "macs") >= least]

    def _start_race(self, *, growing: bool) -> Race:
        space, options = self.ctx.space, self.options
        incumbent = space.canonical(self.best())
        neighbours = self._larger_neighbours() if growing else list(space.neighbours(incumbent))
        kept = incumbent if self.ctx.constraints.allow(incumbent) else None
        earlier = [] if self.races else self.derivations[::-1]
        if kept is not None:  # an incumbent over a limit has to be replaced by something smaller
            neighbours, earlier = (self._keep_large(archs, kept) for archs in (neighbours, earlier))
        if options.neighbours is not None and options.neighbours < len(neighbours):
            random = Random(derive_seed(self.ctx.seed, "confirm", len(self.races)))
            neighbours = random.sample(neighbours, options.neighbours)
        allowed = [arch for arch in [*earlier, *neighbours] if self.ctx.constraints.allow(arch)]
        if kept is None and not allowed:
            raise RunError(
                "search: confirm: the answer of the search is over a limit of [constraints], and so are its "
                f"{len(neighbours)} neighbours: none of them keeps the limits. Give the searcher a penalty "
                "on its cost, or raise the limit."
            )
        return Race.between(options, kept, allowed, growing)

    def _run_rung(self, race: Race) -> dict[str, float]:
        heats = race.plan_rung()
        for heat in heats:
            if heat not in self._known:
                # Evaluators without repetitions know no such argument.
                more = {"repeat": heat.repeat} if heat.repeat else {}
                self.evaluator.expect(heat.arch, budget=heat.budget, **more)
        for count, heat in enumerate(heats):
            if heat not in self._known:
                self._known[heat] = self._evaluate(heat)
            self.ctx.report({"done": (count + 1) / len(heats)})
        race.advance({heat: self._known[heat] for heat in heats})
        scores = [self._known[heat] for heat in heats]
        if max(scores, default=-math.inf) == -math.inf:
            raise RunError(f"search: confirm: no candidate could be evaluated. The last one: {self._reason}")
        metrics = {"candidates": float(len({t.arch for t in heats})), "best_score": max(scores)}
        own = [self._known[heat] for heat in heats if heat.arch == race.incumbent]
        if own and min(own) > -math.inf:
            metrics["incumbent_score"] = sum(own) / len(own)
        if race.verdict is not None:
            metrics["difference"] = race.verdict.difference
            if race.verdict.threshold is not None:
                metrics["threshold"] = race.verdict.threshold
        return {f"confirm_{name}": value for name, value in metrics.items()}

    def _evaluate(self, heat: Heat) -> float:
        arch, budget, index = heat
        if index == 0:
            found: Evaluation = self.evaluator.evaluate(arch, budget=budget)
        else:
            assert isinstance(self.evaluator, RepeatedTraining), "the recipe check requires it"
            found = self.evaluator.repeat(arch, index, budget=budget)
        self.seconds += found.cost
        if found.failed:
            self._reason = found.failed
            return -math.inf
        return found.score

    def _describe(self, race: Race) -> dict[str, Any]:
        space = self.ctx.space
        rows = [
            {"notation": space.notation(arch), "architecture": arch.to_json(), "scores": scores}
            for arch, scores in race.finals().items()
        ]
        winner, found = race.winner, race.verdict
        assert winner is not None, "a rung without scores ends the search"
        told: dict[str, Any] = {"winner": space.notation(winner), "finalists": rows}
        if found is not None:
            told |= {"difference": found.difference, "threshold": found.threshold, "noise": found.noise}
        return {"text": _sentence(race), **told}


def _sentence(race: Race) -> str:
    found = race.verdict
    if race.incumbent is None:
        return "the search's answer is over a limit; its best neighbour within the limits is taken"
    kept = race.winner == race.incumbent
    if found is None:
        return "no challenger could be evaluated" if kept else "the search's answer could not be evaluated"
    bound = max(race.options.margin, found.threshold or 0.0)
    who = "the best larger challenger" if race.growing else "the best challenger"
    what = "better" if found.difference >= 0 else "worse"
    told = f"{who} is {what} by {abs(found.difference):.3g}, noise allows {bound:.3g}"
    if kept:
        return f"kept: {told}"
    return f"grown: {told}" if race.growing else f"replaced: {told}"
