"""Make the observers of a run or a bench, and close them at its end."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nasforge.observer import Observer, Observers
from nasforge.plugins import Registry
from nasforge.recipe import Part, Recipe, parse_options
from nasforge.runs.build import build

__all__ = ["observing"]


@contextmanager
def observing(
    recipe: Recipe, registry: Registry, given: Sequence[Observer[Any]] = (), default: Sequence[str] = ()
) -> Iterator[Observers]:
    """Provide the observers of a recipe, and further ones; close them on exit.

    An observer whose construction fails is left out with a warning.

    Args:
        recipe: The recipe.
        registry: The installed plugins.
        given: Further observers.
        default: Names of the observers of a recipe that lists none.

    Raises:
        PluginError: An observer of ``default`` does not exist, or the module of an observer cannot be
            imported.
        RecipeError: An observer of ``default`` has an option without a default.
    """
    parts = [part for part in recipe.parts.values() if part.plugin.kind == "observer"]
    if recipe.run.observers is None:
        plugins = [registry.get("observer", name) for name in default]
        parts += [Part(f"observers.{p.name}", p, parse_options(p, {})) for p in plugins]
    for part in parts:
        part.plugin.load()  # an import that fails is an error, unlike what an observer does later
    observers = Observers([*_made(parts), *given])
    try:
        yield observers
    finally:
        observers.close()


def _made(parts: Sequence[Part]) -> Iterator[Observer[Any]]:
    for part in parts:
        try:
            yield build(part)
        except Exception as error:
            warnings.warn(f"observer {part.plugin.name!r} failed and is dropped: {error!r}", stacklevel=4)
