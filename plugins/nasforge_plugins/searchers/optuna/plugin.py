"""Announces the ``optuna`` searcher."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.optuna.config import OptunaConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin."""
    return [
        Plugin(
            "searcher",
            "optuna",
            "nasforge_plugins.searchers.optuna.searcher:OptunaSearcher",
            OptunaConfig,
            "Lets a sampler of Optuna propose: TPE, a Gaussian process, CMA-ES, NSGA-II (optional extra)",
            needs=frozenset({"space", "evaluator"}),
            tiny={"evaluations": 8, "initial": 3},
        )
    ]
