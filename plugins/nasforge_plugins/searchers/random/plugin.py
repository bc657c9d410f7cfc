"""Announces the ``random`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.random.config import RandomConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "random",
            "nasforge_plugins.searchers.random.searcher:RandomSearch",
            RandomConfig,
            "Draws different architectures and takes the best",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 5},
        )
    ]
