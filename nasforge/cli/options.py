"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nasforge.plugins import Registry

__all__ = ["Json", "Profile", "Recipe", "Sets", "default_observers"]

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
    """Return the names of the installed observers for terminals."""
    from nasforge.observer import TerminalObserver

    return [plugin.name for plugin in registry.of("observer") if TerminalObserver in plugin.provides]
