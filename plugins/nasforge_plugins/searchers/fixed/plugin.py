"""Announces the ``fixed`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.fixed.config import FixedConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "fixed",
            "nasforge_plugins.searchers.fixed.searcher:Fixed",
            FixedConfig,
            "Takes a given architecture, or one drawn at random: for training without a search",
            needs=frozenset({"space"}),
        )
    ]
