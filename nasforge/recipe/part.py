"""One table of a recipe, checked."""

from __future__ import annotations

from dataclasses import dataclass

from nasforge.config import PluginConfig
from nasforge.plugins import Plugin

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """A table that names a plugin, with its options.

    Attributes:
        table: Its name, such as ``"train.distiller"``.
        plugin: The plugin that its ``use`` names.
        config: The plugin's options.
    """

    table: str
    plugin: Plugin
    config: PluginConfig
