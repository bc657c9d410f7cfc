"""Options of the ``evolution`` searcher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from nasforge.config import BudgetedConfig

__all__ = ["EvolutionConfig"]


class EvolutionConfig(BudgetedConfig):
    """Size of the population and length of the search."""

    evaluations: PositiveInt = 500
    """How many architectures to propose, the first population included. One that was proposed before keeps
    its score and costs nothing."""

    population: int = Field(50, ge=2)
    """How many architectures live at a time (published: 100)."""

    tournament: int = Field(10, ge=1)
    """How many of them are drawn, with replacement, to choose a parent from (published: 25). More is
    greedier."""

    batch: PositiveInt | Literal["workers"] = 1
    """How many children may be evaluated at the same time: each is bred before the scores of up to
    `batch` - 1 older ones are known. It changes what is found; the number of workers does not. "workers"
    takes two for each of `run.workers` when the search begins (at most `population`), and keeps the
    number."""

    @model_validator(mode="after")
    def _fits(self) -> EvolutionConfig:
        if self.population > self.evaluations:
            raise ValueError(
                f"population ({self.population}) must not be above evaluations ({self.evaluations})"
            )
        if self.batch != "workers" and self.batch > self.population:
            raise ValueError(f"batch ({self.batch}) must not be above population ({self.population})")
        return self
