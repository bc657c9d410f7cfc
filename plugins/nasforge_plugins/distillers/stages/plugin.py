"""Describes the distiller to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.distillers.stages.config import StagesConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the distiller of this folder."""
    return [
        Plugin(
            "distiller",
            "stages",
            "nasforge_plugins.distillers.stages.distiller:StagesDistiller",
            StagesConfig,
            "Match two networks at several depths, with trained heads on their stages (CDARTS)",
        )
    ]
