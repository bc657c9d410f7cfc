"""Announces the ``evolution`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.evolution.config import EvolutionConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "evolution",
            "nasforge_plugins.searchers.evolution.searcher:Evolution",
            EvolutionConfig,
            "Mutates the best of a tournament, and lets the oldest die (regularized evolution)",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 8, "population": 3, "tournament": 2},
        )
    ]
