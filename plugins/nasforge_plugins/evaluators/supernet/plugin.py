"""Announces the ``supernet`` evaluator."""

from nasforge.evaluator import ParallelEvaluator
from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.evaluators.supernet.config import SupernetConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "evaluator",
            "supernet",
            "nasforge_plugins.evaluators.supernet.evaluator:Supernet",
            SupernetConfig,
            "Trains one supernet, then scores every architecture with its weights",
            needs=frozenset({"data", NetworkSpace}),
            provides=frozenset({ParallelEvaluator}),
            tiny={"epochs": 3, "batch_size": 8, "recalibration_images": 16},
        )
    ]
