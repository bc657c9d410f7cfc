"""The ``fixed`` searcher: an architecture that is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from nasforge.arch import Arch
from nasforge.component import Context, Work
from nasforge.errors import ArchError
from nasforge.searcher import Searcher
from nasforge.seeding import derive_seed
from nasforge_plugins.searchers.fixed.config import FixedConfig

__all__ = ["Fixed"]


class Fixed(Searcher[FixedConfig]):
    """Has found its architecture before the first step."""

    def setup(self, ctx: Context) -> None:
        """Read the architecture.

        Raises:
            ArchError: Its file or text cannot be read, or it is not an architecture of the space.
        """
        super().setup(ctx)
        if self.config.arch == "random":
            self._arch = ctx.space.sample(Random(derive_seed(ctx.seed, "searcher")))
        else:
            self._arch = ctx.space.parse(self._text())

    def _text(self) -> str:
        text = self.config.arch
        if not text.startswith("@"):
            return text
        try:
            return Path(text[1:]).expanduser().read_text(encoding="utf8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ArchError(
                f"searcher.arch: the file {text[1:]!r} cannot be read ({reason}). Give '@' and the path of a "
                "text file that holds one architecture."
            ) from None

    @property
    def done(self) -> bool:
        """Always: there is nothing to search."""
        return True

    @property
    def total_steps(self) -> int:
        """None are needed."""
        return 0

    def step(self) -> Mapping[str, float]:
        """Do nothing."""
        return {}

    def workload(self) -> Sequence[Work]:
        """Return none."""
        return ()

    def best(self) -> Arch:
        """Return the architecture."""
        return self._arch

    def state_dict(self) -> dict[str, Any]:
        """Return the architecture: its file may change while a run is interrupted."""
        return {"arch": self._arch.to_json()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the architecture."""
        self._arch = Arch(state["arch"])
