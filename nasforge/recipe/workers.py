"""Whether what a recipe wants to do at the same time can be done at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nasforge.errors import suggest
from nasforge.evaluator import ParallelEvaluator
from nasforge.plugins import Plugin, Registry
from nasforge.recipe.draft import Draft

if TYPE_CHECKING:
    from nasforge.recipe import RunConfig

__all__ = ["check_workers"]


def check_workers(draft: Draft, run: RunConfig, plugins: Mapping[str, Plugin], registry: Registry) -> None:
    """Note in the draft if workers are asked for, and nothing can be given to them.

    Args:
        draft: The tables.
        run: The ``[run]`` table.
        plugins: The plugin that each table names, where it could be found.
        registry: The plugins there are.
    """
    if run.launcher and run.backend != "processes":
        draft.add_error(
            ("run", "launcher"), f"{run.backend!r} starts workers itself. Leave one of the two out."
        )
    if run.workers == 1 and run.backend == "processes" and not run.launcher:
        return
    where = ("run", "workers" if run.workers > 1 else "launcher" if run.launcher else "backend")
    evaluator = plugins.get("evaluator")
    if draft.table("evaluator") is None:
        draft.add_error(
            where, "workers evaluate candidates, and there is no [evaluator] table. Leave this out."
        )
    elif evaluator is not None and ParallelEvaluator not in evaluator.provides:
        able = registry.capable("evaluator", ParallelEvaluator)
        draft.add_error(
            where,
            f"evaluator {evaluator.name!r} evaluates one candidate at a time. Leave this out, or use another "
            f"evaluator.{suggest('', able)}",
        )
