"""The ``random`` searcher."""

from __future__ import annotations

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.searcher import BaselineSearcher
from nasforge_plugins.searchers.random.config import RandomConfig

__all__ = ["RandomSearch"]


class RandomSearch(BaselineSearcher[RandomConfig]):
    """Evaluates architectures drawn from the space, each once as long as there are new ones."""

    def setup(self, ctx: Context) -> None:
        """Start with nothing evaluated."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations

    def ask(self) -> Arch:
        """Return an architecture not evaluated yet; any, if a thousand draws give none."""
        return self.sample()

    def asks_ahead(self) -> bool:
        """Propose as many as the workers can take."""
        return not self.has_enough_pending()
