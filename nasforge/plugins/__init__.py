"""Plugins: what describes them, and where they are found."""

from nasforge.plugins.capability import capability
from nasforge.plugins.hooks import hookimpl
from nasforge.plugins.plugin import API, KINDS, Kind, Plugin
from nasforge.plugins.registry import Registry

__all__ = ["API", "KINDS", "Kind", "Plugin", "Registry", "capability", "hookimpl"]
