"""Announces the ``asha`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.asha.config import AshaConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "asha",
            "nasforge_plugins.searchers.asha.searcher:Asha",
            AshaConfig,
            "Promotes architectures to larger budgets as results come (asynchronous successive halving)",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 13, "eta": 2.0, "budgets": (1, 2, 4), "batch": 2},
        )
    ]
