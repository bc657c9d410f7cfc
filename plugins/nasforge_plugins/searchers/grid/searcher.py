"""The ``grid`` searcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.searcher import AskTellSearcher
from nasforge_plugins.searchers.grid.config import GridConfig

__all__ = ["Grid"]

SKIPPED = 100_000
"""How many architectures over a limit may follow each other."""


class Grid(AskTellSearcher[GridConfig]):
    """Evaluates architectures in the order in which the space enumerates them."""

    def setup(self, ctx: Context) -> None:
        """Look for the first architecture.

        Raises:
            RunError: No architecture keeps the limits, or none of the first hundred thousand.
        """
        super().setup(ctx)
        self._order = ctx.space.enumerate()
        self._next = self._allowed_next()
        if self._next is None:
            raise ctx.constraints.infeasible_error(ctx.space.size())

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        """How many evaluations the search makes at most."""
        return self.config.evaluations or self.ctx.space.size()

    @property
    def done(self) -> bool:
        """Whether all, or as many as were asked for, have been evaluated."""
        return (self._next is None and not self.pending) or super().done

    @property
    def total_steps(self) -> None:
        """Not known: architectures that mean the same, or are over a limit, are left out."""
        return

    def ask(self) -> Arch:
        """Return the next architecture in order."""
        assert self._next is not None, "the search is done"
        arch, self._next = self._next, self._allowed_next()
        return arch

    def asks_ahead(self) -> bool:
        """Propose as many as the workers can take."""
        return self._next is not None and not self.has_enough_pending()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, and go to the same place in the order."""
        super().load_state_dict(state)
        for _ in range(self.proposed):
            self._next = self._allowed_next()

    def _allowed_next(self) -> Arch | None:
        for skipped, arch in enumerate(self._order):
            if self.allowed(arch):
                return arch
            if skipped == SKIPPED:
                raise self.ctx.constraints.infeasible_error(SKIPPED)
        return None
