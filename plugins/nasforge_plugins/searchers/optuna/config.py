"""Options of the ``optuna`` searcher."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from nasforge.config import BudgetedConfig, Objective, ObjectivesConfig

__all__ = ["OptunaConfig", "SamplerName"]

SamplerName = Literal["tpe", "gp", "cma-es", "nsga2", "random"]


class OptunaConfig(BudgetedConfig, ObjectivesConfig):
    """Options of Optuna's sampler and of the search's length. Needs ``pip install 'nasforge[optuna]'``."""

    sampler: SamplerName = "tpe"
    """Sampler of proposals: "tpe" (a density of the good and one of the bad), "gp" (a Gaussian process),
    "cma-es" (a normal distribution over the weight of every option, of which the heaviest counts), "nsga2"
    (evolution for several objectives), or "random"."""

    evaluations: PositiveInt = 150
    """How many architectures to propose. One that was proposed before keeps its score and costs nothing."""

    objectives: tuple[Objective, ...] = Field(("score",), min_length=1)
    """Objectives to maximise: "score" or metrics of the evaluator; minimised with "-" before the name. With
    several, the result has a Pareto set; "cma-es" takes one only."""

    initial: PositiveInt = 10
    """How many proposals are random before "tpe", "gp" and "cma-es" begin."""

    population: int | None = Field(None, ge=2)
    """Architectures in a generation of "nsga2" or "cma-es"; None leaves it to Optuna (50, and 4 + 3 ln n for
    n weights)."""

    @model_validator(mode="after")
    def _can_run(self) -> OptunaConfig:
        for module in ("optuna", *(("cmaes",) if self.sampler == "cma-es" else ())):
            if find_spec(module) is None:
                raise ValueError(f"needs the package {module}. Run: pip install 'nasforge[optuna]'")
        if self.sampler == "cma-es" and len(self.objectives) > 1:
            raise ValueError(
                "sampler 'cma-es' takes one objective. Take 'nsga2' or 'tpe', or remove objectives"
            )
        return self
