"""Describes the searcher to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.beta_darts.config import BetaDartsConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "beta-darts",
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            BetaDartsConfig,
            "A decay of the option weights themselves keeps them close (Beta-DARTS)",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"epochs": 3, "warmup_epochs": 1},
        )
    ]
