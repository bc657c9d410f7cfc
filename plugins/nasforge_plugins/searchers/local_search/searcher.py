"""The ``local-search`` searcher."""

from __future__ import annotations

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.evaluator import Evaluation
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.searchers.local_search.config import LocalSearchConfig

__all__ = ["LocalSearch"]


class LocalSearch(AskTellSearcher[LocalSearchConfig]):
    """Hill climbing over the neighbours of a space (White, Nolen and Savani, UAI 2021, Algorithm 1).

    A climb starts at the best of some random architectures, moves to better neighbours, and ends where there
    is none; then the next one starts. Neighbours are evaluated in random order. Those that an earlier climb
    evaluated cost nothing.
    """

    def setup(self, ctx: Context) -> None:
        """Start with no climb under way."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations
        self._starts: list[Evaluation] = []
        self._at: Evaluation | None = None
        self._told = self._size = 0

    @property
    def position(self) -> Evaluation | None:
        """Where the climb is; None while its start is looked for."""
        return self._at

    def ask(self) -> Arch:
        """Return a random architecture for a start, or a neighbour that is not evaluated yet."""
        if self._at is None:
            return self.sample()
        return self.rng.choice(self._open(self._at))

    def asks_ahead(self) -> bool:
        """Propose all starts of a climb, and then the neighbours that are compared at once."""
        if self._at is None:
            return len(self._starts) + len(self.pending) < self.config.starts
        return self._told + len(self.pending) < self._size

    def tell(self, result: Evaluation) -> None:
        """Move, stay, or end the climb, once all that are compared have been told."""
        if self._at is None:
            self._starts.append(result)
            if len(self._starts) < self.config.starts:
                return
            self._at = max(self._starts, key=lambda e: e.score)
            self._starts = []
        elif self._told + 1 < self._size:
            self._told += 1
            return
        self._told = 0
        while self._at is not None:
            left = self._open(self._at)
            better = self._better(self._at) if self.config.move == "first" or not left else None
            if better is None and left:
                different = len({self.ctx.space.canonical(arch) for arch in left})
                self._size = different if self.config.move == "best" else min(self.config.batch, different)
                return
            self._at = better

    def _open(self, at: Evaluation) -> list[Arch]:
        near = self.ctx.space.neighbours(at.arch)
        return [arch for arch in near if not self.was_proposed(arch) and self.allowed(arch)]

    def _better(self, at: Evaluation) -> Evaluation | None:
        """Return the best neighbour that is known, if it is better."""
        known = [e for arch in self.ctx.space.neighbours(at.arch) if (e := self.known(arch))]
        best = max(known, key=lambda e: e.score, default=at)
        return best if best.score > at.score else None
