"""Options of the ``nsga2`` searcher."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from nasforge.config import BudgetedConfig, Objective, ObjectivesConfig

__all__ = ["Nsga2Config"]

Share = Annotated[float, Field(ge=0, le=1)]


class Nsga2Config(BudgetedConfig, ObjectivesConfig):
    """Objectives, size of the population and length of the search."""

    evaluations: PositiveInt = 500
    """How many architectures to propose, the first population included."""

    objectives: tuple[Objective, ...] = Field(("score", "-params"), min_length=2)
    """Objectives to maximise: "score" or metrics of the evaluator; minimised with "-" before the name."""

    population: int = Field(20, ge=2)
    """How many architectures live at a time, and how many children a generation has."""

    crossover: Share = 0.9
    """Share of children that have two parents."""

    mutation: Share = 0.5
    """Share of those that are mutated too; children of one parent always are."""

    @model_validator(mode="after")
    def _fits(self) -> Nsga2Config:
        if self.population > self.evaluations:
            raise ValueError(
                f"population ({self.population}) must not be above evaluations ({self.evaluations})"
            )
        return self
