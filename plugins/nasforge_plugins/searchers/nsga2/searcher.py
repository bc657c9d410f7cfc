"""The ``nsga2`` searcher."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.errors import ArchError
from nasforge.evaluator import Evaluation
from nasforge.pareto import Objectives, crowding, fronts
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.searchers.nsga2.config import Nsga2Config

__all__ = ["Nsga2"]

ATTEMPTS = 50
"""How many children are made before one that was seen before is taken."""


class Nsga2(AskTellSearcher[Nsga2Config]):
    """Evolution of a Pareto set (Deb et al., IEEE TEC 6(2), 2002, section III).

    Parents win a tournament of two by the front they are in, and within a front by their distance from
    others. After a generation, parents and children compete for the next population by the same order.
    `front` is the Pareto set of everything evaluated; `best` has the highest score.
    """

    def setup(self, ctx: Context) -> None:
        """Start without a population."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations
        self.objectives = Objectives(self.config.objectives)
        self.costs = self.objectives.costs
        self._ranked: list[Evaluation] = []

    @property
    def population(self) -> Sequence[Evaluation]:
        """The living, best first; empty during the first generation."""
        return self._ranked

    def front(self) -> tuple[Arch, ...]:
        """Return the Pareto set of all evaluations, best in the first objective first."""
        worked = [e for e in self.history if not e.failed]
        return tuple(e.arch for e in self.objectives.front(worked)) or super().front()

    def ask(self) -> Arch:
        """Return a random architecture for the first population, then a child that is new, if possible."""
        if not self._ranked:
            return self.sample()
        children = (self._child() for _ in range(ATTEMPTS))
        allowed = [c for c in children if self.allowed(c)]
        fresh = [c for c in allowed if not self.was_proposed(c)]
        return (fresh or allowed or [self.sample()])[0]

    def asks_ahead(self) -> bool:
        """Propose the rest of the generation."""
        return self.proposed % self.config.population > 0

    def tell(self, result: Evaluation) -> None:
        """At the end of a generation, choose the next population.

        Raises:
            RunError: The evaluator does not report an objective.
        """
        if not result.failed:
            self.objectives.extract(result)
        size = self.config.population
        if len(self.history) % size == 0:
            found: dict[Arch, Evaluation] = {}
            worked = (e for e in self.history[-size:] if not e.failed)
            for evaluation in (*self._ranked, *worked):
                found.setdefault(self.ctx.space.canonical(evaluation.arch), evaluation)
            self._ranked = self._ordered(list(found.values()))[:size]

    def _ordered(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        """Sort by front, and within a front from the loneliest to the most crowded."""
        values = [self.objectives.extract(e) for e in evaluations]
        ordered = []
        for front in fronts(values):
            distance = crowding([values[i] for i in front])
            places = sorted(range(len(front)), key=lambda place: -distance[place])
            ordered += [evaluations[front[place]] for place in places]
        return ordered

    def _parent(self) -> Arch:
        # The population is sorted, so the smaller index wins.
        places = [self.rng.randrange(len(self._ranked)) for _ in "ab"]
        return self._ranked[min(places)].arch

    def _child(self) -> Arch:
        mother, father = self._parent(), self._parent()
        space = self.ctx.space
        child = mother
        if self.rng.random() < self.config.crossover:
            child = self._mixed(mother, father)
        if child in (mother, father) or self.rng.random() < self.config.mutation:
            child = space.mutate(child, self.rng)
        return child

    def _mixed(self, mother: Arch, father: Arch) -> Arch:
        """Take each answer from one of the parents; where that makes nothing valid, each group of answers.

        A group is what lies under one path: ``"normal/node2/inputs"`` and ``"normal/node2/in0"``.
        """
        space = self.ctx.space
        for by_path in (False, True):
            groups: dict[str, Arch] = {}
            answers = {}
            for choice in space.choices:
                group = choice.name.rpartition("/")[0] if by_path else choice.name
                if group not in groups:
                    groups[group] = self.rng.choice((mother, father))
                answers[choice.name] = groups[group][choice.name]
            child = Arch(answers)
            try:
                space.validate(child)
            except ArchError:
                continue
            return space.canonical(child)
        return mother
