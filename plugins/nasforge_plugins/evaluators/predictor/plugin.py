"""Announces the ``predictor`` evaluator."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.evaluators.predictor.config import PredictorConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "evaluator",
            "predictor",
            "nasforge_plugins.evaluators.predictor.evaluator:Predictor",
            PredictorConfig,
            "Evaluates some architectures by another evaluator and predicts the scores of the rest",
            needs=frozenset({"space", "evaluator"}),
            tiny={"initial": 5, "members": 2, "folds": 2},
        )
    ]
