"""Announces the ``grid`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.grid.config import GridConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "grid",
            "nasforge_plugins.searchers.grid.searcher:Grid",
            GridConfig,
            "Evaluates the architectures of a space in order, all of them or the first",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 6},
        )
    ]
