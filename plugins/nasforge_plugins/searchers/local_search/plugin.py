"""Announces the ``local-search`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.local_search.config import LocalSearchConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "local-search",
            "nasforge_plugins.searchers.local_search.searcher:LocalSearch",
            LocalSearchConfig,
            "Climbs to better neighbours until there is none, then starts elsewhere",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 12, "starts": 3},
        )
    ]
