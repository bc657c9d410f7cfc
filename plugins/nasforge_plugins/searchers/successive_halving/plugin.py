"""Announces the ``successive-halving`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.successive_halving.config import SuccessiveHalvingConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "successive-halving",
            "nasforge_plugins.searchers.successive_halving.searcher:SuccessiveHalving",
            SuccessiveHalvingConfig,
            "Evaluates many with a small budget and the better of them with more",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 13, "first": 4, "eta": 2.0, "budgets": (1, 2, 4)},
        )
    ]
