"""Describes the model space without importing it."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.capabilities import KnownBaseline
from nasforge.space import NetworkSpace
from nasforge_plugins.spaces.model.config import ModelConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugins of this module."""
    return [
        Plugin(
            "space",
            "model",
            "nasforge_plugins.spaces.model.space:ModelSpace",
            ModelConfig,
            "A network that you have: drop its blocks, narrow them, exchange their parts",
            provides=frozenset({KnownBaseline, NetworkSpace}),
            tiny={
                "model": "nasforge_plugins.spaces.model.sample:SmallResNet",
                "arguments": {"channels": 4, "blocks": 2},
                "image_size": 8,
                "options": ("drop", "width", "kernel", "activation", "gate"),
                "widths": (50,),
                "divisor": 1,
            },
        )
    ]
