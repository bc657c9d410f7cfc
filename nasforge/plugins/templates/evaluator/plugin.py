"""Describes the evaluator to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.plugins.templates.evaluator.config import TemplateEvaluatorConfig
from nasforge.space import NetworkSpace

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "evaluator",
            "template-evaluator",
            "nasforge.plugins.templates.evaluator.evaluator:TemplateEvaluator",
            TemplateEvaluatorConfig,
            "Scores an untrained network by the size of its gradients",
            needs=frozenset({"data", NetworkSpace}),
            tiny={"batch_size": 4},
            api=1,
        )
    ]
