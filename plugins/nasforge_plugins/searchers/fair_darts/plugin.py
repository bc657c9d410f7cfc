"""Describes the searcher to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.fair_darts.config import FairDartsConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "fair-darts",
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            FairDartsConfig,
            "Every operation has a sigmoid of its own, driven to 0 or 1 (FairDARTS)",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"epochs": 3, "warmup_epochs": 1},
        )
    ]
