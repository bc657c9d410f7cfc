"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nasforge.plugins import Registry

__all__ = ["DEFAULT_OBSERVERS", "Json", "Profile", "Recipe", "Sets", "default_observers"]

DEFAULT_OBSERVERS = ("progress",)
"""Observers of runs and benches whose recipe has no ``run.observers``, as far as they are installed."""

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A TOML file, or the name of a shipped recipe.", show_default=False
    ),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", "-p", metavar="NAME", help="Lay this profile of the recipe over it."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="TABLE.KEY=VALUE",
        help="Override an option, such as searcher.epochs=2. May be repeated.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]


def default_observers(registry: Registry) -> list[str]:
    """Return the names in `DEFAULT_OBSERVERS` that are installed and not disabled."""
    installed = registry.names("observer")
    return [name for name in DEFAULT_OBSERVERS if name in installed]
