"""Describes the searcher to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gdas.config import GdasConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "gdas",
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            GdasConfig,
            "One operation per edge is drawn for every batch (GDAS)",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"epochs": 3, "warmup_epochs": 1},
        )
    ]
