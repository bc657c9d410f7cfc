"""Describes the images to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.templates.data.config import TemplateDataConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "data",
            "template-data",
            "nasforge.plugins.templates.data.data:TemplateData",
            TemplateDataConfig,
            "Stripes in four directions",
            tiny={"image_size": 8, "train_images": 48, "test_images": 12, "batch_size": 8},
            api=1,
        )
    ]
