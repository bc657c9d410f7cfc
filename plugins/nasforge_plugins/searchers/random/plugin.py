"""Announces the ``random`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.searcher import BaselineSearcher
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
            provides=frozenset({BaselineSearcher}),
            tiny={"evaluations": 5},
        )
    ]
