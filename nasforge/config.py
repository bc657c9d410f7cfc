"""The parent classes of plugins' options."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self
from weakref import WeakSet

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

__all__ = [
    "BudgetedConfig",
    "ConfirmConfig",
    "EvaluatorConfig",
    "Objective",
    "ObjectivesConfig",
    "PluginConfig",
    "SearcherConfig",
    "merge_options",
    "read_descriptions",
    "sub_tables",
    "walk_options",
]

Objective = Annotated[str, Field(pattern="^-?[^-]")]
"""``"score"`` or a metric's name; a leading ``-`` means that lower is better: ``"-macs"``."""


_described: WeakSet[type[BaseModel]] = WeakSet()


class PluginConfig(BaseModel):
    """Options of a plugin: typed, frozen, closed, described by the string under each field.

    A field that is itself such a class is a sub-table: recipes write its options below ``[searcher.guard]``,
    and layers of a recipe merge it key by key. Give it the default ``Field(default_factory=TheClass)``.

    Attributes:
        moved_options: Where options are that recipes wrote elsewhere before: ``{"guard": "guard.policy"}``.
            A recipe that uses the old place gets an error that names the new one.

    Examples:
        >>> class Options(PluginConfig):
        ...     epochs: int = 50
        ...     '''Passes over the training images.'''
    """

    model_config = ConfigDict(
        defer_build=True,  # until it is used: a listing imports all options there are, and uses none
        extra="forbid",
        frozen=True,
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

    def programs(self) -> Mapping[str, Any]:
        """Return what options run besides plugins, as JSON data by option. Default: nothing.

        The data says all that decides what runs: a command with its words, or a function, its arguments and
        the checksum of its file. Programs of a run folder wait for the user's trust.
        """
        return {}

    def trained_batches(self) -> tuple[str, ...]:
        """Return the options that are sizes of training batches, which `run.shards` divides. Default: none.

        Returns:
            Own options by name; ``"data.batch_size"`` for training with the batches of the ``[data]`` table.
        """
        return ()

    def file_checksums(self) -> Mapping[str, str]:
        """Return checksums of the files that the options name, whose content may change. Default: none.

        A search whose files have other checksums than before is begun anew.

        Returns:
            Checksums by option.
        """
        return {}

    @classmethod
    def with_defaults(cls, name: str, doc: str, defaults: Mapping[str, Any]) -> type[Self]:
        """Derive a class that has the same options with other defaults.

        Args:
            name: Name of the new class.
            doc: Its docstring.
            defaults: Values by option; for a sub-table, a mapping of those that differ.

        Examples:
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
                namespace[option] = Field(value)
            else:
                assert issubclass(inner, PluginConfig), (
                    "sub-tables with defaults of their own are PluginConfig"
                )
                annotation = inner.with_defaults(f"{name}{inner.__name__}", inner.__doc__ or "", value)
                namespace[option] = Field(default_factory=annotation)
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


def read_descriptions(config: type[BaseModel]) -> None:
    """Give the fields of a class of options, and of its sub-tables, the strings under them as descriptions.

    Listings import all options there are, so the source is read here and not while a class is made.

    Args:
        config: A class of options. Fields that have a description keep it.
    """
    for inner in sub_tables(config).values():
        read_descriptions(inner)
    if config in _described:
        return
    found: dict[str, str] = {}
    for parent in reversed(config.__mro__):
        if issubclass(parent, PluginConfig):
            found |= _strings_under_fields(parent)
    for name, field in config.model_fields.items():
        field.description = field.description or found.get(name)
    _described.add(config)


def _strings_under_fields(config: type[BaseModel]) -> dict[str, str]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(config))).body[0]
    except (OSError, TypeError, SyntaxError):  # made by a program: it has no source
        return {}
    found = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, text in pairwise(statements):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str() as about)):
                found[name] = inspect.cleandoc(about)
    return found


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

    Examples:
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


class ConfirmConfig(PluginConfig):
    """Options of the check at final depth, which `nasforge.confirm` makes when a search has ended.

    It is off without `rungs`. A rung is a budget of the evaluator in ``[evaluator]``, such as epochs.
    """

    rungs: tuple[PositiveInt, ...] = ()
    """Budgets of the evaluator, growing: candidates are evaluated at the first, the better ones at the next.
    Empty: the result of the search is not checked."""

    neighbours: NonNegativeInt | None = None
    """How many neighbours of the incumbent are candidates, drawn at random where it has more. None: all."""

    derivations: NonNegativeInt = 3
    """How many earlier answers of the search, the last different ones, are candidates."""

    keep: float = Field(default=0.5, gt=0, lt=1)
    """Share of the candidates that reaches the next rung."""

    finalists: int = Field(default=4, ge=2)
    """How many candidates reach the last rung, the incumbent among them."""

    repeats: PositiveInt = 3
    """Trainings of each finalist at the last rung, with different random draws."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """How sure it must be that a challenger is better than the incumbent: a paired test over the repeats."""

    margin: NonNegativeFloat = 0.0
    """By how much a challenger must be better, in units of the score. The only test if `repeats` is 1."""

    least_macs: float = Field(default=0.5, ge=0, le=1)
    """Share of the incumbent's multiply-adds that a challenger must need at least, in spaces that tell them:
    short trainings rate networks that hardly compute too high. 0: any challenger."""

    passes: PositiveInt = 1
    """How often to begin again from the neighbours of a challenger that has won."""

    growth: NonNegativeInt = 0
    """How many passes follow against neighbours with more multiply-adds, the best of which replaces the
    incumbent *unless it is worse beyond noise*: short trainings do not show what capacity is worth. A pass
    that keeps the incumbent is the last; limits of ``[constraints]`` hold."""

    @field_validator("rungs")
    @classmethod
    def _grow(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if any(low >= high for low, high in pairwise(rungs)):
            raise ValueError("must grow: write the smallest budget first, and none twice")
        return rungs


class SearcherConfig(PluginConfig):
    """Options of a searcher whose result can be checked by discrete trainings, in ``[searcher.confirm]``."""

    confirm: ConfirmConfig = Field(default_factory=ConfirmConfig)
    """How the result is compared with its neighbours when the search has ended."""


class BudgetedConfig(SearcherConfig):
    """Options of a searcher that ends after a number of evaluations, which a bench sets to its budget."""

    evaluations: PositiveInt | None = 100
    """How many architectures to evaluate."""


class ObjectivesConfig(PluginConfig):
    """Options of a searcher with objectives; `nasforge.pareto.Objectives` reads them from an evaluation."""

    objectives: tuple[Objective, ...] = Field(("score",), min_length=1)
    """Objective to maximise: "score" or a metric of the evaluator; minimised with "-" before the name."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len({name.removeprefix("-") for name in self.objectives}) < len(self.objectives):
            raise ValueError("objectives name the same number twice")
        return self
