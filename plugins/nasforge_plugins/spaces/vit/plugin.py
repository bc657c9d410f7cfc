"""Describes the ``vit`` space without importing it."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.capabilities import StandaloneParts
from nasforge.space import NetworkSpace
from nasforge_plugins.spaces.vit.config import VitConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "space",
            "vit",
            "nasforge_plugins.spaces.vit.space:VitSpace",
            VitConfig,
            "Vision transformers of AutoFormer: depth, width, heads and MLP ratios share one set of weights",
            provides=frozenset({NetworkSpace, StandaloneParts}),
            tiny={
                "patch_size": 4,
                "embed_dims": (8, 12),
                "depths": (1, 2, 3),
                "heads": (1, 2),
                "head_dim": 4,
                "mlp_ratios": (1.5, 2.0),
                "max_relative_position": 2,
            },
        )
    ]
