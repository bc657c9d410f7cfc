"""Describes the distiller to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.templates.distiller.config import TemplateDistillerConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "distiller",
            "template-distiller",
            "nasforge.plugins.templates.distiller.distiller:TemplateDistiller",
            TemplateDistillerConfig,
            "Matches logits, and where in the image the feature maps are strong",
            api=1,
        )
    ]
