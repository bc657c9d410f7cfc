"""Describes the searcher to nasforge."""

from nasforge.plugins import CellConventions, Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.cdarts.config import CdartsConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "cdarts",
            "nasforge_plugins.searchers.cdarts.searcher:Cdarts",
            CdartsConfig,
            "Search and evaluation networks that teach each other",
            needs=frozenset({"data", "distiller", NetworkSpace}),
            conventions=CellConventions(pool_batch_norm=False, allow_none=True, node_inputs="two"),
            tiny={"iterations": 3, "warmup_epochs": 1},
        )
    ]
