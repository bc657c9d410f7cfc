"""Describes the space to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.templates.space.config import TemplateSpaceConfig
from nasforge.space import NetworkSpace

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "space",
            "template-space",
            "nasforge.plugins.templates.space.space:TemplateSpace",
            TemplateSpaceConfig,
            "Layers in stages: every layer is one of three convolutions, or left out",
            provides=frozenset({NetworkSpace}),
            tiny={"channels": 4, "stages": 2, "layers_per_stage": 1},
            api=1,
        )
    ]
