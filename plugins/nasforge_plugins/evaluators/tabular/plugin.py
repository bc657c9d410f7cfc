"""Describe the evaluator to nasforge."""

from __future__ import annotations

from nasforge.evaluator import KnownMetrics, ParallelEvaluator, TableStore
from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.evaluators.tabular.config import TabularConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugins of this module."""
    return [
        Plugin(
            "evaluator",
            "tabular",
            "nasforge_plugins.evaluators.tabular.evaluator:Tabular",
            TabularConfig,
            "Look metrics up in a table of trained architectures, at the cost training would have had",
            needs=frozenset({"space"}),
            partners={"space": "nasbench201"},  # the table inside nasforge is about this one
            provides=frozenset({KnownMetrics, ParallelEvaluator, TableStore}),
        )
    ]
