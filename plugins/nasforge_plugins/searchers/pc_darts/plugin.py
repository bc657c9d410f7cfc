"""Describes the searcher to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.pc_darts.config import PcDartsConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "pc-darts",
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            PcDartsConfig,
            "Operations see a quarter of the channels, edges have weights (PC-DARTS)",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"epochs": 3, "warmup_epochs": 1, "partial_channels": 1},
        )
    ]
