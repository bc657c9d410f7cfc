"""Describes the searcher to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl

from reinforce.config import ReinforceSearcherConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "searcher",
            "reinforce",
            "reinforce.searcher:ReinforceSearcher",
            ReinforceSearcherConfig,
            "Learns by policy gradient which options score high (Williams, 1992)",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 7, "batch": 2, "entropy_weight": 0.1},
            api=1,
        )
    ]
