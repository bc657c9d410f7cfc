"""What the plugins of a recipe need from each other."""

from __future__ import annotations

from collections.abc import Mapping

from nasforge.errors import suggest
from nasforge.plugins import Plugin, Registry
from nasforge.plugins.kinds import TABLES, inner_tables
from nasforge.recipe.draft import Draft

__all__ = ["REQUIRED", "check_needs"]

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
        if parent and parent.kind == plugin.kind and not _needed(parent, plugin.kind):
            draft.say(
                table.split("."), f"{parent.name!r} builds on no other {plugin.kind}. Remove this table."
            )
        for need in sorted(plugin.needs):
            kind, _, capability = need.partition(":")
            # What a plugin in [train] or [evaluator] needs may be inside its table.
            inside = (inner for inner in inner_tables(table) if TABLES[inner] == kind)
            needed = next(inside, kind)
            if plugin.kind == kind == needed:
                draft.say(use, f"{plugin.name!r} builds on another {kind}, which works in [{kind}] only.")
                continue
            able = [p.name for p in registry.of(kind) if not capability or capability in p.provides]
            if plugin.kind == kind:
                able = [name for name in able if not _needed(registry.get(kind, name), kind)]
            if draft.table(needed) is None:
                if needed not in REQUIRED:
                    draft.say(use, f"{plugin.name!r} needs a [{needed}] table.{suggest('', able)}")
            elif capability and needed in plugins and capability not in plugins[needed].provides:
                other = plugins[needed].name
                lacks = f"{plugin.name!r} needs a {kind} with {capability}, which {other!r} lacks."
                draft.say((*needed.split("."), "use"), lacks + suggest("", able))


def _needed(plugin: Plugin, kind: str) -> bool:
    return any(need.partition(":")[0] == kind for need in plugin.needs)
