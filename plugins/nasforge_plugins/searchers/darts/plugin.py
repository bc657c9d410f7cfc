"""Describes the searcher to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.darts.config import DartsSearchConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "darts",
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            DartsSearchConfig,
            "Weights and architecture learn in turns by gradients (DARTS)",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"epochs": 3, "warmup_epochs": 1},
        )
    ]
