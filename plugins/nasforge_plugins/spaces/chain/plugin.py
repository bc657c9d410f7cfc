"""Describes the chain space without importing it."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.capabilities import StandaloneParts
from nasforge.space import NetworkSpace, PartialChannels, PlainNetworks
from nasforge_plugins.spaces.chain.config import ChainConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugins of this module."""
    return [
        Plugin(
            "space",
            "chain",
            "nasforge_plugins.spaces.chain.space:ChainSpace",
            ChainConfig,
            "A chain of mobile inverted bottlenecks with kernel, expansion and depth to choose",
            provides=frozenset({NetworkSpace, PartialChannels, PlainNetworks, StandaloneParts}),
            diagnosis="nasforge_plugins.kernels.door:diagnose",
            tiny={
                "layout": "cifar",
                "depths": (1, 2, 3, 1, 1),
                "widths": (8, 8, 8, 16, 16),
                "stem_channels": 8,
                "kernels": (3, 5),
                "expansions": (1, 2),
                "head_channels": 16,
                "classifier_channels": 16,
            },
        )
    ]
