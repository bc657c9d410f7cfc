"""Tells nasforge about NumPy archives."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.data.npz.config import NpzConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin of this folder."""
    return [
        Plugin(
            "data",
            "npz",
            "nasforge_plugins.data.npz.data:Npz",
            NpzConfig,
            "Your own images in one NumPy archive",
        )
    ]
