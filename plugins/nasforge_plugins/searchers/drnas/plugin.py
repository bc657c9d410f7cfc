"""Describes the searcher to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.drnas.config import DrnasConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "drnas",
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            DrnasConfig,
            "Option weights are drawn from learned Dirichlet distributions (DrNAS)",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"epochs": 3, "warmup_epochs": 1},
        )
    ]
