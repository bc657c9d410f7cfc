"""From a checked table to a living component: the only place that makes one."""

from __future__ import annotations

from typing import Any

from nasforge.recipe import Part

__all__ = ["build"]


def build(part: Part) -> Any:
    """Import a plugin's class and make it with its options.

    Args:
        part: A table of a `nasforge.recipe.Recipe`.

    Raises:
        PluginError: The class cannot be imported.
    """
    return part.plugin.load()(part.config)
