"""Describes the distiller to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.distillers.logits.config import LogitsConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the distiller of this folder."""
    return [
        Plugin(
            "distiller",
            "logits",
            "nasforge_plugins.distillers.logits.distiller:LogitsDistiller",
            LogitsConfig,
            "Match the softened predictions of a teacher (Hinton et al., 2015)",
        )
    ]
