"""The parent classes of plugins' options."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

__all__ = ["BudgetedConfig", "EvaluatorConfig", "Objective", "ObjectivesConfig", "PluginConfig"]

Objective = Annotated[str, Field(pattern="^-?[^-]")]
"""``"score"`` or a metric's name; a leading ``-`` means that lower is better: ``"-macs"``."""


class PluginConfig(BaseModel):
    """Options of a plugin: typed, frozen, closed, described by the string under each field.

    Example:
        >>> class Options(PluginConfig):
        ...     epochs: int = 50
        ...     '''Passes over the training images.'''
    """

    model_config = ConfigDict(
        defer_build=True,  # until it is used: a listing imports all options there are, and uses none
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        protected_namespaces=(),
    )

    def to_json(self) -> dict[str, Any]:
        """Return the options as plain JSON data, defaults included."""
        return self.model_dump(mode="json")


class EvaluatorConfig(PluginConfig):
    """Options of an evaluator that says what it reports: wrong objectives are found before anything runs.

    Example:
        >>> class Options(EvaluatorConfig):
        ...     def reports(self):
        ...         return frozenset({"accuracy"})
    """

    def reports(self) -> frozenset[str] | None:
        """Return the names of the metrics that its evaluations have in a search, from the first one on.

        Nothing else can be an objective but the score, and what the space knows its networks cost. Where the
        images decide which of two metrics there is, name both. An evaluator that builds on another names
        what it adds.

        Returns:
            None, the default, if that is not known before an evaluation.
        """
        return None


class BudgetedConfig(PluginConfig):
    """Options of a searcher that ends after a number of evaluations, which a bench sets to its budget."""

    evaluations: PositiveInt | None = 100
    """How many architectures to evaluate."""


class ObjectivesConfig(PluginConfig):
    """Options of a searcher with objectives; `nasforge.pareto.Objectives` reads them from an evaluation."""

    objectives: tuple[Objective, ...] = Field(("score",), min_length=1)
    """What to make large: "score" or a metric of the evaluator; with "-" before it, what to make small."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len({name.removeprefix("-") for name in self.objectives}) < len(self.objectives):
            raise ValueError("objectives name the same number twice")
        return self
