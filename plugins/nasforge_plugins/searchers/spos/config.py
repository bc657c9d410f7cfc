"""Options of the ``spos`` searcher."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from nasforge.config import SearcherConfig

__all__ = ["SposConfig"]


class SposConfig(SearcherConfig):
    """Size and number of generations; the defaults are the published ones."""

    population: int = Field(50, ge=2)
    """Architectures per generation."""

    generations: PositiveInt = 20
    """Generations, the first and random one included."""

    parents: int = Field(10, ge=2)
    """How many of the best so far have children."""

    crossover: float = Field(0.5, ge=0, le=1)
    """Share of a generation with two parents; the others are mutants of one."""

    mutation: float = Field(0.1, gt=0, le=1)
    """Probability that a mutant answers a choice anew."""

    @model_validator(mode="after")
    def _fits(self) -> SposConfig:
        if self.parents > self.population:
            raise ValueError(f"parents ({self.parents}) must not be above population ({self.population})")
        return self
