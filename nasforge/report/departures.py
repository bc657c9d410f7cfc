"""Recipes option by option: what departs from the defaults, and what differs between runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from nasforge.constraints import ConstraintsConfig
from nasforge.errors import PluginError
from nasforge.plugins import Registry
from nasforge.plugins.kinds import table_kind
from nasforge.recipe.run_table import RunConfig

__all__ = ["MISSING", "Option", "differing", "flatten", "options_of"]

OWN_TABLES: Mapping[str, type[BaseModel]] = {"run": RunConfig, "constraints": ConstraintsConfig}
"""Tables whose options are those of nasforge."""

MISSING = object()
"""Stands for a value that is not there."""


@dataclass(frozen=True)
class Option:
    """An option of a recipe.

    Attributes:
        name: With its table: ``"searcher.penalty.coefficient"``.
        value: As in the resolved recipe.
        default: The default; `MISSING` if it is unknown, or if the option has none.
    """

    name: str
    value: Any
    default: Any = MISSING

    @property
    def departs(self) -> bool:
        """Whether the value is known to differ from the default."""
        return self.default is not MISSING and self.value != self.default

    @property
    def required(self) -> bool:
        """Whether there is no default, as far as that is known."""
        return self.default is MISSING


def options_of(resolved: Mapping[str, Any], registry: Registry | None = None) -> list[Option]:
    """Return every option of a resolved recipe, with its default.

    Defaults of plugins that are not installed, such as those of local modules, are unknown.

    Args:
        resolved: The recipe.
        registry: The plugins there are; None: those that are installed.
    """
    known = _installed() if registry is None else registry
    found: list[Option] = []
    for table, body in resolved.items():
        if isinstance(body, Mapping):
            found += _table(table, body, known)
        else:
            found.append(Option(table, body))
    return found


def differing(recipes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Return the options whose values are not the same in all recipes, each with a value per recipe.

    Args:
        recipes: Resolved recipes; an option that one lacks is `MISSING` there.
    """
    flat = [dict(flatten(recipe)) for recipe in recipes]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = [(name, [one.get(name, MISSING) for one in flat]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]


def flatten(tables: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every option by its dotted name."""
    for key, value in tables.items():
        name = f"{at}.{key}" if at else str(key)
        if isinstance(value, Mapping) and value:
            yield from flatten(value, name)
        else:
            yield name, value


def _table(table: str, body: Mapping[str, Any], registry: Registry) -> Iterator[Option]:
    defaults = _defaults(_model(table, body, registry))
    for key, value in body.items():
        name = f"{table}.{key}"
        if isinstance(value, Mapping) and table_kind(name) is not None:
            yield from _table(name, value, registry)
        elif key == "use":
            yield Option(name, value)
        else:
            default = defaults.get(key, MISSING)
            if isinstance(value, Mapping) and value:
                for inner, one in flatten(value, name):
                    yield Option(inner, one, _at(default, inner.removeprefix(f"{name}.")))
            else:
                yield Option(name, value, default)


def _model(table: str, body: Mapping[str, Any], registry: Registry) -> type[BaseModel] | None:
    if table in OWN_TABLES:
        return OWN_TABLES[table]
    kind, use = table_kind(table), body.get("use")
    if kind is None or not isinstance(use, str):
        return None
    try:
        return registry.get(kind, use).config
    except PluginError:
        return None


def _defaults(model: type[BaseModel] | None) -> Mapping[str, Any]:
    """Return the defaults of all options that have one, as JSON data."""
    return {} if model is None else model.model_construct().model_dump(mode="json", warnings=False)


def _at(tables: Any, place: str) -> Any:
    for key in place.split("."):
        if not isinstance(tables, Mapping) or key not in tables:
            return MISSING
        tables = tables[key]
    return tables


@lru_cache(maxsize=1)
def _installed() -> Registry:
    return Registry.discover()
