"""Describes the searcher to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.sdarts.config import SdartsConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "sdarts",
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            SdartsConfig,
            "The network learns to bear disturbed option weights (SDARTS)",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"epochs": 3, "warmup_epochs": 1},
        )
    ]
