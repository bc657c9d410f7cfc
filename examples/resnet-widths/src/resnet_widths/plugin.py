"""Describes the space to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace

from resnet_widths.config import ResnetWidthsSpaceConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "space",
            "resnet-widths",
            "resnet_widths.space:ResnetWidthsSpace",
            ResnetWidthsSpaceConfig,
            "The CIFAR ResNet; how wide every block is inside, and which blocks there are",
            provides=frozenset({NetworkSpace}),
            tiny={"blocks": 2, "channels": 4, "search_channels": 4, "widths": (50, 100)},
            api=1,
        )
    ]
