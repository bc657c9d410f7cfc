"""Announces the ``spos`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.spos.config import SposConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "spos",
            "nasforge_plugins.searchers.spos.searcher:Spos",
            SposConfig,
            "Crosses and mutates the best so far; with evaluator 'supernet', single path one-shot",
            needs=frozenset({"space", "evaluator"}),
            tiny={"population": 4, "generations": 3, "parents": 2},
        )
    ]
