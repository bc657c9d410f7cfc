"""The parent classes of plugins' options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

__all__ = [
    "BudgetedConfig",
    "EvaluatorConfig",
    "Objective",
    "ObjectivesConfig",
    "PluginConfig",
    "merge_options",
    "sub_tables",
    "walk_options",
]

Objective = Annotated[str, Field(pattern="^-?[^-]")]
"""``"score"`` or a metric's name; a leading ``-`` means that lower is better: ``"-macs"``."""


class PluginConfig(BaseModel):
    """Options of a plugin: typed, frozen, closed, described by the string under each field.

    A field that is itself such a class is a sub-table: recipes write its options below ``[searcher.guard]``,
    and layers of a recipe merge it key by key. Give it the default ``Field(default_factory=TheClass)``.

    Attributes:
        moved_options: Where options are that recipes wrote elsewhere before: ``{"guard": "guard.policy"}``.
            A recipe that uses the old place gets an error that names the new one.

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

    moved_options: ClassVar[Mapping[str, str]] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the options as plain JSON data, defaults included."""
        return self.model_dump(mode="json")

    def option_needs(self) -> Mapping[str, type]:
        """Return the capabilities that other plugins must have because of single options. Default: none.

        Returns:
            Capabilities (see `nasforge.plugins.capability`) by option; that of a sub-table has a dotted name.
        """
        return {}

    @classmethod
    def with_defaults(cls, name: str, doc: str, defaults: Mapping[str, Any]) -> type[Self]:
        """Derive a class that has the same options with other defaults.

        Args:
            name: Name of the new class.
            doc: Its docstring.
            defaults: Values by option; for a sub-table, a mapping of those that differ.

        Example:
            >>> class Options(PluginConfig):
            ...     epochs: int = 50
            >>> Options.with_defaults("LongOptions", "A longer training.", {"epochs": 600})().epochs
            600
        """
        annotations: dict[str, Any] = {}
        namespace: dict[str, Any] = {"__doc__": doc, "__module__": cls.__module__}
        for option, value in defaults.items():
            field = cls.model_fields[option]
            inner = sub_tables(cls).get(option)
            if inner is None:
                annotation: Any = field.annotation
                if field.metadata:
                    annotation = Annotated[(annotation, *field.metadata)]
                namespace[option] = Field(value, description=field.description)
            else:
                assert issubclass(inner, PluginConfig), (
                    "sub-tables with defaults of their own are PluginConfig"
                )
                annotation = inner.with_defaults(f"{name}{inner.__name__}", inner.__doc__ or "", value)
                namespace[option] = Field(default_factory=annotation, description=field.description)
            annotations[option] = annotation
        made: type[Self] = type(cls)(name, (cls,), {**namespace, "__annotations__": annotations})  # type: ignore[misc]
        return made


def sub_tables(config: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the options that are tables of options themselves, with their classes.

    Args:
        config: A class of options.
    """
    return {
        name: field.annotation
        for name, field in config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def walk_options(config: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the pydantic field of every option, those of sub-tables after their table.

    Args:
        config: A class of options.
        at: Path of the class itself.
    """
    inner = sub_tables(config)
    for name, field in config.model_fields.items():
        yield (*at, name), field
        if name in inner:
            yield from walk_options(inner[name], (*at, name))


def merge_options(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over others; tables in both are merged key by key.

    Args:
        base: Values by option.
        over: Values that win.
    """
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = merge_options(below, value) if both else value  # type: ignore[arg-type]
    return merged


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
