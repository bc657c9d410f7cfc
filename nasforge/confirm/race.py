"""A race of architectures: successive halving over growing budgets, and repeats at the last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from nasforge.arch import Arch
from nasforge.config import ConfirmConfig
from nasforge.confirm.significance import Verdict, compare

__all__ = ["Heat", "Race"]


class Heat(NamedTuple):
    """One evaluation of a race.

    Attributes:
        arch: The architecture.
        budget: The effort.
        repeat: Which of several evaluations with different random draws, from 0.
    """

    arch: Arch
    budget: int
    repeat: int


@dataclass
class Race:
    """The incumbent against its challengers.

    The rungs before the last keep a share of the candidates. The incumbent is kept in any case: it is only
    beaten at the last rung, where all finalists are evaluated several times. Without an incumbent, or if
    it fails, the best finalist wins.

    Attributes:
        options: Rungs, shares, repeats and the test.
        incumbent: The architecture to beat; None if the search found none that keeps the limits.
        growing: Whether the challengers are larger, so that the best of them wins unless it is worse beyond
            noise.
        runners: Who is still in the race; the incumbent comes first.
        rung: Index of the next rung.
        scores: Score by heat; minus infinity for a failed one.
        verdict: The answer of the test at the end of the race; None before it, and if there was no
            challenger with scores.
    """

    options: ConfirmConfig
    incumbent: Arch | None
    runners: list[Arch]
    growing: bool = False
    rung: int = 0
    scores: dict[Heat, float] = field(default_factory=dict)
    verdict: Verdict | None = None

    @classmethod
    def between(
        cls,
        options: ConfirmConfig,
        incumbent: Arch | None,
        challengers: Sequence[Arch],
        growing: bool = False,
    ) -> Race:
        """Start a race; challengers that equal the incumbent or each other are left out."""
        first = [] if incumbent is None else [incumbent]
        return cls(options, incumbent, list(dict.fromkeys([*first, *challengers])), growing)

    @property
    def done(self) -> bool:
        """Whether the last rung is over."""
        return self.rung == len(self.options.rungs)

    def plan_rung(self) -> list[Heat]:
        """Return the evaluations of the next rung."""
        last = self.rung == len(self.options.rungs) - 1
        repeats = self.options.repeats if last else 1
        budget = self.options.rungs[self.rung]
        return [Heat(arch, budget, repeat) for repeat in range(repeats) for arch in self.runners]

    def advance(self, scores: Mapping[Heat, float]) -> None:
        """Take the scores of the heats of a rung: drop runners, or decide the race at the last rung.

        Args:
            scores: Score by heat; minus infinity for a failed one.
        """
        self.scores |= scores
        self.rung += 1
        if self.done:
            self._decide()
            return
        budget = self.options.rungs[self.rung - 1]
        ranked = sorted(self.runners, key=lambda arch: -self.scores[Heat(arch, budget, 0)])
        places = max(2, math.ceil(len(ranked) * self.options.keep))
        if self.rung == len(self.options.rungs) - 1:
            places = min(places, self.options.finalists)
        first = [] if self.incumbent is None else [self.incumbent]
        alive = [a for a in ranked if a not in first and self.scores[Heat(a, budget, 0)] > -math.inf]
        self.runners = [*first, *alive[: places - len(first)]]

    def finals(self) -> dict[Arch, list[float]]:
        """Return the scores of each finalist at the last rung, one per repeat; of failed ones, none."""
        heats = {
            arch: [Heat(arch, self.options.rungs[-1], repeat) for repeat in range(self.options.repeats)]
            for arch in self.runners
        }
        found = {arch: [self.scores[heat] for heat in wanted] for arch, wanted in heats.items()}
        return {arch: values for arch, values in found.items() if min(values) > -math.inf}

    def _decide(self) -> None:
        finals = self.finals()
        if self.incumbent in finals and len(finals) > 1:
            by_key = {arch.key: values for arch, values in finals.items()}
            self.verdict = compare(by_key, self.incumbent.key, self.options.confidence)

    @property
    def winner(self) -> Arch | None:
        """The incumbent, or the challenger that was better beyond noise; None if all finalists failed.

        If the race is growing, the best challenger, or the incumbent that was better beyond noise.
        """
        finals = self.finals()
        if self.incumbent not in finals:
            return max(finals, key=lambda arch: fmean(finals[arch]), default=None)
        if self.verdict is None:
            return self.incumbent
        margin = self.options.margin
        wins = self.verdict.holds(margin) if self.growing else self.verdict.wins(margin)
        if not wins:
            return self.incumbent
        return next(arch for arch in finals if arch.key == self.verdict.challenger)

    def state_dict(self) -> dict[str, Any]:
        """Return plain data for `from_state`."""
        rows = [
            [t.arch.to_json(), t.budget, t.repeat, None if s == -math.inf else s]
            for t, s in self.scores.items()
        ]
        return {
            "incumbent": self.incumbent and self.incumbent.to_json(),
            "runners": [arch.to_json() for arch in self.runners],
            "growing": self.growing,
            "rung": self.rung,
            "scores": rows,
        }

    @classmethod
    def from_state(cls, options: ConfirmConfig, state: Mapping[str, Any]) -> Race:
        """Restore the result of `state_dict`."""
        scores = {
            Heat(Arch(arch), budget, repeat): -math.inf if score is None else score
            for arch, budget, repeat, score in state["scores"]
        }
        runners = [Arch(arch) for arch in state["runners"]]
        incumbent = None if state["incumbent"] is None else Arch(state["incumbent"])
        race = cls(options, incumbent, runners, state["growing"], state["rung"], scores)
        if race.done:
            race._decide()
        return race
