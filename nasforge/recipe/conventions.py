"""Options of a space that follow the published code of the searcher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nasforge.plugins import CellSpaceConfig
from nasforge.recipe.part import Part
from nasforge.recipe.toml_text import to_toml

__all__ = ["departures", "follow_conventions"]


def follow_conventions(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Return the tables of a recipe, with the space's unset options as in the searcher's published code.

    Args:
        parts: The checked tables, by name.
    """
    part, conventions = parts["space"], parts["searcher"].plugin.conventions
    if conventions is None or not isinstance(part.config, CellSpaceConfig):
        return dict(parts)
    return {**parts, "space": replace(part, config=part.config.with_conventions(conventions))}


def departures(parts: Mapping[str, Part]) -> Iterator[str]:
    """Yield a sentence for every option of the space that differs from the searcher's published code.

    Args:
        parts: The tables of a checked recipe, by name.
    """
    searcher, space = parts["searcher"].plugin, parts["space"].config
    if searcher.conventions is None or not isinstance(space, CellSpaceConfig):
        return
    for name, published in searcher.conventions.stated():
        used = getattr(space, name, None)
        if used is not None and used != published:
            yield (
                f"space.{name} = {to_toml(used)} differs from the published code of {searcher.name!r}. To "
                f"follow it, write {name} = {to_toml(published)} in [space], or leave the option out."
            )
