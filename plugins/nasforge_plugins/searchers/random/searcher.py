"""The ``random`` searcher."""

from __future__ import annotations

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.searchers.random.config import RandomConfig

__all__ = ["RandomSearch"]

DRAWS = 1000
"""How often to draw before the space counts as exhausted."""


class RandomSearch(AskTellSearcher[RandomConfig]):
    """Evaluates architectures drawn from the space, each once as long as there are new ones."""

    def setup(self, ctx: Context) -> None:
        """Start with nothing evaluated."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations

    def ask(self) -> Arch:
        """Return an architecture not evaluated yet; any, if a thousand draws give none."""
        for _ in range(DRAWS):
            arch = self.ctx.space.canonical(self.ctx.space.sample(self.rng))
            if self.known(arch) is None:
                break
        return arch
