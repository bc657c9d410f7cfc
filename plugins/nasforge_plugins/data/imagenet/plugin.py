"""Tells nasforge about ImageNet."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.data.imagenet.config import ImagenetConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin of this folder."""
    return [
        Plugin(
            "data",
            "imagenet",
            "nasforge_plugins.data.imagenet.data:Imagenet",
            ImagenetConfig,
            "ImageNet, and other image folders that do not fit into memory",
        )
    ]
