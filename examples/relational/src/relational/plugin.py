"""Describes the distiller to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl

from relational.config import RelationalDistillerConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "distiller",
            "relational",
            "relational.distiller:RelationalDistiller",
            RelationalDistillerConfig,
            "Keeps the distances and angles between the images of a batch (Park et al., 2019)",
            api=1,
        )
    ]
