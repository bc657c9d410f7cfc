"""Needs between the plugins of a recipe."""

from __future__ import annotations

from collections.abc import Mapping

from nasforge.errors import suggest
from nasforge.plugins import Plugin, Registry
from nasforge.plugins.capabilities import describe_need, kind_of
from nasforge.plugins.kinds import TABLES, inner_tables
from nasforge.recipe.draft import Draft
from nasforge.recipe.part import Part

__all__ = ["REQUIRED", "check_needs", "check_option_needs"]

REQUIRED = ("space", "searcher")
"""The tables that every recipe has."""


def check_needs(draft: Draft, plugins: Mapping[str, Plugin], registry: Registry) -> None:
    """Note in the draft what is missing or does not fit.

    Args:
        draft: The tables.
        plugins: The plugin that each table names, where it could be found.
        registry: The plugins there are.
    """
    for table, plugin in plugins.items():
        use = (*table.split("."), "use")
        parent = plugins.get(table.rpartition(".")[0])
        if parent and parent.kind == plugin.kind and not parent.requires(plugin.kind):
            draft.add_error(
                table.split("."), f"{parent.name!r} builds on no other {plugin.kind}. Remove this table."
            )
        for need in sorted(plugin.needs, key=describe_need):
            kind, capability = kind_of(need), None if isinstance(need, str) else need
            # What a plugin in [train] or [evaluator] needs may be inside its table.
            inside = (inner for inner in inner_tables(table) if TABLES[inner] == kind)
            needed = next(inside, kind)
            if plugin.kind == kind == needed:
                draft.add_error(
                    use, f"{plugin.name!r} builds on another {kind}, which works in [{kind}] only."
                )
                continue
            if draft.table(needed) is None:
                if needed not in REQUIRED:
                    able = suggest("", _able(registry, kind, capability, plugin))
                    draft.add_error(use, f"{plugin.name!r} needs a [{needed}] table.{able}")
            elif capability and needed in plugins and capability not in plugins[needed].provides:
                other = plugins[needed].name
                lacks = f"{plugin.name!r} needs a {describe_need(need)}, which {other!r} lacks."
                able = suggest("", _able(registry, kind, capability, plugin))
                draft.add_error((*needed.split("."), "use"), lacks + able)


def _able(registry: Registry, kind: str, capability: type | None, plugin: Plugin) -> list[str]:
    """Return the names of the plugins that another plugin can build on."""
    able = registry.capable(kind, capability)
    return able if plugin.kind != kind else [n for n in able if not registry.get(kind, n).requires(kind)]


def check_option_needs(draft: Draft, parts: Mapping[str, Part], registry: Registry) -> None:
    """Note in the draft which options need a capability that the plugin beside them lacks.

    Args:
        draft: The tables.
        parts: The plugins with valid options, by table.
        registry: The plugins there are.
    """
    for table, part in parts.items():
        for option, capability in part.config.option_needs().items():
            kind = kind_of(capability)
            if kind not in parts or capability in parts[kind].plugin.provides:
                continue
            able = registry.capable(kind, capability)
            lacks = f"needs a {describe_need(capability)}, which {parts[kind].plugin.name!r} lacks."
            fix = f" Leave this option out, or use another {kind}.{suggest('', able)}"
            draft.add_error((*table.split("."), *option.split(".")), lacks + fix)
