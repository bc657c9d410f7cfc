"""Whether the check of a search's answer, ``[searcher.confirm]``, can be made."""

from __future__ import annotations

from collections.abc import Mapping

from nasforge.config import ConfirmConfig, ObjectivesConfig, PluginConfig, SearcherConfig
from nasforge.errors import suggest
from nasforge.evaluator import RepeatedTraining
from nasforge.plugins import Plugin, Registry
from nasforge.recipe.draft import Draft

__all__ = ["check_confirm"]


def check_confirm(
    draft: Draft, table: str, config: PluginConfig, plugins: Mapping[str, Plugin], registry: Registry
) -> None:
    """Note in the draft what a searcher's ``confirm`` lacks.

    Args:
        draft: The tables.
        table: Where the searcher's options stand: ``"searcher"``, or ``"bench.options.NAME"``.
        config: The searcher's options.
        plugins: The plugin that each table names, where it could be found.
        registry: The plugins there are.
    """
    if not isinstance(config, SearcherConfig):
        return
    options, where = config.confirm, (*table.split("."), "confirm")
    if not options.rungs:
        body = draft.table(".".join(where))
        if isinstance(body, Mapping) and body and "rungs" not in body:
            draft.add_error(
                where, "has no rungs, so it does nothing. Write rungs = [1, 2, 4], budgets that grow."
            )
        return
    if isinstance(config, ObjectivesConfig) and len(config.objectives) > 1:
        draft.add_error(
            where, "compares by the score alone, and this searcher has several objectives. Remove this table."
        )
    evaluator = plugins.get("evaluator")
    if draft.table("evaluator") is None:
        able = registry.capable("evaluator", RepeatedTraining)
        draft.add_error(where, f"needs an [evaluator] table, which trains the candidates.{suggest('', able)}")
    elif evaluator is not None:
        _check_repeats(draft, where, options, evaluator, registry)


def _check_repeats(
    draft: Draft, where: tuple[str, ...], options: ConfirmConfig, evaluator: Plugin, registry: Registry
) -> None:
    if options.repeats > 1 and RepeatedTraining not in evaluator.provides:
        able = registry.capable("evaluator", RepeatedTraining)
        draft.add_error(
            (*where, "repeats"),
            f"{options.repeats}, but evaluator {evaluator.name!r} has no repetitions. Write "
            f"repeats = 1 and a margin, or use another evaluator.{suggest('', able)}",
        )
