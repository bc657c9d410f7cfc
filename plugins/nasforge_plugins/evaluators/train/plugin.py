"""Announces the ``train`` evaluator."""

from nasforge.evaluator import KeepsNetwork, ParallelEvaluator, RepeatedTraining
from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.evaluators.train.config import TrainConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "evaluator",
            "train",
            "nasforge_plugins.evaluators.train.evaluator:Trainer",
            TrainConfig,
            "Trains the network of an architecture from scratch",
            needs=frozenset({"data", NetworkSpace}),
            provides=frozenset({KeepsNetwork, ParallelEvaluator, RepeatedTraining}),
            tiny={"epochs": 3, "batch_size": 8, "keep_epochs": 2},
        )
    ]
