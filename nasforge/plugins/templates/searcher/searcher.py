"""The searcher: what to evaluate next."""

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.plugins.templates.searcher.config import TemplateSearcherConfig
from nasforge.searcher import AskTellSearcher

__all__ = ["TemplateSearcher"]


class TemplateSearcher(AskTellSearcher[TemplateSearcherConfig]):
    """Hill climbing: evaluates a neighbour of the best architecture so far.

    `AskTellSearcher` evaluates what `ask` proposes and keeps it in ``self.history``; a stopped search resumes
    from there exactly, as long as all randomness comes from ``self.rng``.
    """

    def setup(self, ctx: Context) -> None:
        """Start with nothing evaluated."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations

    def ask(self) -> Arch:
        """Return a random architecture at first and now and then, else a neighbour of the best."""
        if not self.history or self.rng.random() < self.config.restart_share:
            return self.ctx.space.sample(self.rng)
        return self.ctx.space.mutate(self.best(), self.rng)
