"""Announces the ``bananas`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.bananas.config import BananasConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "bananas",
            "nasforge_plugins.searchers.bananas.searcher:Bananas",
            BananasConfig,
            "Fits an ensemble of predictors and evaluates mutants of the best that it may like",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 8, "initial": 4, "batch": 2, "candidates": 5, "members": 2},
        )
    ]
