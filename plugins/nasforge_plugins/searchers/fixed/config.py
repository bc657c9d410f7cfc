"""Options of the ``fixed`` searcher."""

from __future__ import annotations

from pydantic import Field

from nasforge.config import SearcherConfig

__all__ = ["FixedConfig"]


class FixedConfig(SearcherConfig):
    """Options of the architecture to take."""

    arch: str = Field("random", min_length=1)
    """A name or notation that the space knows ("DARTS_V2"), "@" and a file that holds one, or "random": one
    drawn with the run's seed, the baseline every search must beat."""
