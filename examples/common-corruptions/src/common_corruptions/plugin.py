"""Describes the evaluator to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.evaluator import KeepsNetwork, ParallelEvaluator
from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace

from common_corruptions.config import CommonCorruptionsEvaluatorConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "evaluator",
            "common-corruptions",
            "common_corruptions.evaluator:CommonCorruptionsEvaluator",
            CommonCorruptionsEvaluatorConfig,
            "Trains briefly; the score counts accuracy under noise, blur and bad light",
            needs=frozenset({"data", NetworkSpace}),
            provides=frozenset({KeepsNetwork, ParallelEvaluator}),
            tiny={"epochs": 2, "batch_size": 4, "corruptions": ("noise", "blur"), "severities": (3,)},
            api=1,
        )
    ]
