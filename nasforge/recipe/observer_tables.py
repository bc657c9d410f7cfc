"""Observers of a recipe: their names in ``run.observers``, their options in ``[observers.NAME]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nasforge.errors import PluginError, suggest
from nasforge.plugins import Registry
from nasforge.recipe.draft import Draft
from nasforge.recipe.options import check_options
from nasforge.recipe.part import Part

__all__ = ["read_observers"]


def read_observers(draft: Draft, registry: Registry, names: Sequence[str] | None) -> dict[str, Part]:
    """Check the observers of a recipe.

    A table has the options of the observer of that name, or of the one that its ``use`` names.

    Args:
        draft: The recipe; problems are noted in it.
        registry: The plugins there are.
        names: Value of ``run.observers``; None if it is unknown, because ``[run]`` has a problem.

    Returns:
        The observers by table, such as ``"observers.csv"``, without those that have a problem.
    """
    tables = draft.table("observers")
    if not isinstance(tables, Mapping | None):
        draft.add_error(("observers",), "must hold tables such as [observers.jsonl].")
        return {}
    tables = tables or {}
    names = list(tables) if names is None else names
    for name in tables:
        # A profile or --set that lists fewer observers leaves the options of the others alone.
        if name not in names and not draft.is_over(("run", "observers"), ("observers", name)):
            known = suggest(name, names) or " Add it to run.observers, or remove this table."
            draft.add_error(("observers", name), f"run.observers lists no observer of that name.{known}")
    for name in sorted({name for name in names if names.count(name) > 1}):
        draft.add_error(("run", "observers"), f"{name!r} is listed twice. Remove one.")
    parts = (_read(draft, registry, name, tables.get(name, {})) for name in dict.fromkeys(names))
    return {part.table: part for part in parts if part is not None}


def _read(draft: Draft, registry: Registry, name: str, body: object) -> Part | None:
    path = ("observers", name)
    if not isinstance(body, Mapping):
        draft.add_error(path, f"must be a table: write [observers.{name}] and its options below.")
        return None
    use = body.get("use", name)
    if not isinstance(use, str):
        draft.add_error(
            (*path, "use"), f'must be text. Write use = "…".{suggest("", registry.names("observer"))}'
        )
        return None
    try:
        plugin = registry.get("observer", use)
    except PluginError as error:
        draft.add_error((*path, "use") if "use" in body else ("run", "observers"), str(error))
        return None
    required = [option for option, field in plugin.config.model_fields.items() if field.is_required()]
    if required and not body:
        given = ", ".join(f"{option} = …" for option in required)
        draft.add_error(
            ("run", "observers"), f"{name!r} needs options. Write [observers.{name}] and {given} below."
        )
        return None
    options = {key: value for key, value in body.items() if key != "use"}
    config = check_options(draft, ".".join(path), plugin.config, plugin, options)
    return None if config is None else Part(".".join(path), plugin, config)
