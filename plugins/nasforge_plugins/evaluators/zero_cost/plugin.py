"""Announces the ``zero-cost`` evaluator."""

from nasforge.evaluator import ParallelEvaluator
from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.evaluators.zero_cost.config import ZeroCostConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "evaluator",
            "zero-cost",
            "nasforge_plugins.evaluators.zero_cost.evaluator:ZeroCost",
            ZeroCostConfig,
            "Scores untrained networks by naswot, jacov, synflow and other proxies",
            needs=frozenset({"data", NetworkSpace}),
            provides=frozenset({ParallelEvaluator}),
            tiny={"proxies": ("naswot", "synflow", "grasp"), "batch_size": 4},
        )
    ]
