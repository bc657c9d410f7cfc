"""Announces the ``hyperband`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.hyperband.config import HyperbandConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "hyperband",
            "nasforge_plugins.searchers.hyperband.searcher:Hyperband",
            HyperbandConfig,
            "Successive halving from every budget in turn",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 13, "budgets": (1, 2, 4)},
        )
    ]
