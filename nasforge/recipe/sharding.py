"""Whether the training batches of a recipe divide into its shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nasforge.recipe.draft import Draft
from nasforge.recipe.part import Part

if TYPE_CHECKING:
    from nasforge.recipe import RunConfig

__all__ = ["check_shards"]


def check_shards(draft: Draft, run: RunConfig, parts: Mapping[str, Part]) -> None:
    """Note in the draft which batches do not divide.

    Args:
        draft: The tables.
        run: The ``[run]`` table.
        parts: The plugins with valid options, by table.
    """
    count, seen = run.shards, set[str]()
    for table, part in parts.items():
        for option in part.config.trained_batches():
            where = option if "." in option else f"{table}.{option}"
            owner, _, name = where.rpartition(".")
            size = getattr(parts[owner].config, name, None) if owner in parts else None
            if not isinstance(size, int) or size % count == 0 or where in seen:
                continue
            seen.add(where)
            nearest = max(1, round(size / count)) * count
            draft.add_error(
                tuple(where.split(".")),
                f"{size} images do not divide into run.shards = {count} equal parts. Set it to {nearest}, or "
                f"run.shards to a divisor of {size}.",
            )
