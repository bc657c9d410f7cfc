"""Describes the searcher to nasforge."""

from nasforge.plugins import CellConventions, Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.darts_pt.config import DartsPtConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the searcher of this folder."""
    return [
        Plugin(
            "searcher",
            "darts-pt",
            "nasforge_plugins.searchers.darts_pt.searcher:DartsPt",
            DartsPtConfig,
            "Takes the operations whose removal hurts the supernet most (DARTS-PT)",
            needs=frozenset({"data", NetworkSpace}),
            conventions=CellConventions(pool_batch_norm=True, allow_none=False, node_inputs="two"),
            tiny={"epochs": 2, "selection": {"epochs": 1}},
        )
    ]
