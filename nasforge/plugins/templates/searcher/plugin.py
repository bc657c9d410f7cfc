"""Describes the searcher to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.templates.searcher.config import TemplateSearcherConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "searcher",
            "template-searcher",
            "nasforge.plugins.templates.searcher.searcher:TemplateSearcher",
            TemplateSearcherConfig,
            "Climbs from the best architecture so far to a neighbour, and now and then starts anew",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 6},
            api=1,
        )
    ]
