"""Announces the ``nsga2`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.nsga2.config import Nsga2Config


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "nsga2",
            "nasforge_plugins.searchers.nsga2.searcher:Nsga2",
            Nsga2Config,
            "Evolves a Pareto set for two or more objectives",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 12, "population": 4},
        )
    ]
