"""Plugins: their descriptions, kinds and registry.

Names are imported when first used, so that the table of kinds can be read alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasforge.plugins.capabilities import capability
    from nasforge.plugins.conventions import CellConventions, CellSpaceConfig
    from nasforge.plugins.diagnosis import Diagnosis
    from nasforge.plugins.hooks import hookimpl
    from nasforge.plugins.kinds import KINDS, Kind, KindInfo
    from nasforge.plugins.plugin import API, Plugin
    from nasforge.plugins.registry import Registry

_HOMES = {
    "API": "plugin",
    "CellConventions": "conventions",
    "CellSpaceConfig": "conventions",
    "Diagnosis": "diagnosis",
    "KINDS": "kinds",
    "Kind": "kinds",
    "KindInfo": "kinds",
    "Plugin": "plugin",
    "Registry": "registry",
    "capability": "capabilities",
    "hookimpl": "hooks",
}

__all__ = [
    "API",
    "KINDS",
    "CellConventions",
    "CellSpaceConfig",
    "Diagnosis",
    "Kind",
    "KindInfo",
    "Plugin",
    "Registry",
    "capability",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nasforge.plugins' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"nasforge.plugins.{_HOMES[name]}"), name)
    return found
