"""Tells nasforge about image folders."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.data.image_folder.config import ImageFolderConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin of this folder."""
    return [
        Plugin(
            "data",
            "image-folder",
            "nasforge_plugins.data.image_folder.data:ImageFolder",
            ImageFolderConfig,
            "Your own images in folders named after their classes, held in memory",
        )
    ]
