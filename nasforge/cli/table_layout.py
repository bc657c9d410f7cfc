"""From the flags of ``nasforge tables import`` to the layout of a table, with all mistakes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasforge.tables import TableLayout

__all__ = ["LayoutFlags", "read_layout_flags"]


@dataclass(frozen=True)
class LayoutFlags:
    """The flags as they were written; see ``nasforge tables import --help``."""

    space: str | None
    recipe: str | None
    sets: Sequence[str]
    arch_column: str | None
    metrics: Sequence[str]
    seconds: Sequence[str]
    budget_column: str | None
    seed_column: str | None
    missing: Sequence[str]

    @property
    def given(self) -> dict[str, bool]:
        """Whether each flag was given, by its name."""
        return {
            "--space": self.space is not None,
            "--recipe": self.recipe is not None,
            "--set": bool(self.sets),
            "--arch-column": self.arch_column is not None,
            "--metric": bool(self.metrics),
            "--seconds": bool(self.seconds),
            "--budget-column": self.budget_column is not None,
            "--seed-column": self.seed_column is not None,
            "--missing": bool(self.missing),
        }


def read_layout_flags(flags: LayoutFlags) -> TableLayout | None:
    """Return the layout that flags describe; None if none was given.

    Args:
        flags: The flags.

    Raises:
        RecipeError: Lists the flags that are wrong or missing.
        PluginError: There is no such space.
    """
    from nasforge.errors import RecipeError
    from nasforge.tables import TableLayout, TableMetric

    given = flags.given
    if not any(given.values()):
        return None
    problems = []
    if given["--space"] == given["--recipe"]:
        problems.append(
            "--space and --recipe: both name the space. Leave one out."
            if given["--space"]
            else "--space: is missing. Name the space that parses the architectures, or a recipe by --recipe."
        )
    if not flags.arch_column:
        problems.append("--arch-column: is missing. Name the column of the architectures.")
    metrics = []
    for text in flags.metrics:
        try:
            metrics.append(TableMetric.parse(text))
        except ValueError as error:
            problems.append(f"--metric: {error}")
    if not flags.metrics:
        problems.append("--metric: is missing. Write --metric NAME:max or --metric NAME:min.")
    if problems:
        raise RecipeError("tables import", problems)
    space, name, options = _space(flags)
    seconds: dict[str | None, str] = {}
    for text in flags.seconds:
        dataset, _, column = text.rpartition("=")
        seconds[dataset or None] = column
    return TableLayout(
        space,
        name,
        flags.arch_column or "",
        tuple(metrics),
        options,
        seconds,
        flags.budget_column,
        flags.seed_column,
        tuple(flags.missing),
    )


def _space(flags: LayoutFlags) -> tuple[Any, str, dict[str, Any]]:
    """Return the space, its name and its options."""
    from nasforge.plugins import Registry
    from nasforge.recipe import Part, parse_options, space_of
    from nasforge.runs.build import build

    registry = Registry.discover()
    if flags.recipe is not None:
        prefixed = [text if text.startswith("space.") else f"space.{text}" for text in flags.sets]
        part = space_of(flags.recipe, registry, overrides=prefixed)
    else:
        plugin = registry.get("space", str(flags.space))
        config = parse_options(plugin, list(flags.sets), source=f"space {plugin.name}")
        part = Part("space", plugin, config)
    return build(part), part.plugin.name, part.config.to_json()
