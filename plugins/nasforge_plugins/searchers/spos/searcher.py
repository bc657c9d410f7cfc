"""The ``spos`` searcher."""

from __future__ import annotations

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.errors import ArchError
from nasforge.searcher import DRAWS, AskTellSearcher
from nasforge_plugins.searchers.spos.config import SposConfig

__all__ = ["Spos"]


class Spos(AskTellSearcher[SposConfig]):
    """Evolution over a supernet (Guo et al., "Single path one-shot", ECCV 2020, section 3.4, Algorithm 1).

    The first generation is random. The best architectures of all generations so far are the parents of the
    next: one part of it takes every answer from one of two parents, the other changes some answers of one.
    Children are new and keep the limits of the recipe; where no child is found, a random architecture is.

    The supernet is trained by the evaluator ``supernet``, before the first generation. Any other evaluator
    works as well.
    """

    def setup(self, ctx: Context) -> None:
        """Start without a generation."""
        super().setup(ctx)
        self.evaluations = self.config.population * self.config.generations

    def ask(self) -> Arch:
        """Return a member of the current generation."""
        cfg = self.config
        generation, position = divmod(self.proposed, cfg.population)
        parents = self.parents(generation)
        if not parents:
            return self.sample()
        crossed = position < round(cfg.crossover * cfg.population) and len(parents) > 1
        for _ in range(DRAWS):
            child = self.cross(parents) if crossed else self.mutant(self.rng.choice(parents))
            if child is not None and not self.was_proposed(child) and self.allowed(child):
                return child
        return self.sample()

    def asks_ahead(self) -> bool:
        """Propose the rest of the generation."""
        return self.proposed % self.config.population > 0

    def parents(self, generation: int) -> list[Arch]:
        """Return the best different architectures of the generations before this one, best first.

        None are before the first generation.
        """
        canonical = self.ctx.space.canonical
        before = self.history[: generation * self.config.population]
        ranked = sorted((e for e in before if not e.failed), key=lambda evaluation: -evaluation.score)
        return list(dict.fromkeys(canonical(e.arch) for e in ranked))[: self.config.parents]

    def cross(self, parents: list[Arch]) -> Arch | None:
        """Return a child of two random parents, each choice answered by one of them; None if it is invalid.

        Args:
            parents: Two or more.
        """
        pair = self.rng.sample(parents, 2)
        return self._valid({c.name: self.rng.choice(pair)[c.name] for c in self.ctx.space.choices})

    def mutant(self, parent: Arch) -> Arch | None:
        """Return a parent with some choices answered anew; None if that is invalid."""
        answers = dict(parent)
        for choice in self.ctx.space.choices:
            if self.rng.random() < self.config.mutation:
                picked = self.rng.sample(choice.options, choice.k)
                answers[choice.name] = tuple(sorted(picked, key=choice.options.index))
        return self._valid(answers)

    def _valid(self, answers: dict[str, tuple[str, ...]]) -> Arch | None:
        arch = Arch(answers)
        try:
            self.ctx.space.validate(arch)
        except ArchError:
            return None
        return self.ctx.space.canonical(arch)
