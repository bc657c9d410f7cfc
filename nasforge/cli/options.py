"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nasforge.plugins import Registry

__all__ = [
    "Device",
    "Json",
    "Profile",
    "Recipe",
    "Sets",
    "Trust",
    "default_observers",
    "repeated",
    "set_option",
]


def repeated(*flags: str, metavar: str, about: str) -> Any:
    """Return an option that may be given several times.

    Args:
        flags: Its names, such as ``--waive``.
        metavar: The form of a value.
        about: The help, one sentence.
    """
    return typer.Option(*flags, metavar=metavar, help=f"{about} May be repeated.", show_default=False)


def set_option(about: str) -> Any:
    """Return the option ``--set`` of a command that makes one plugin.

    Args:
        about: The help, one sentence.
    """
    return repeated("--set", "-s", metavar="OPTION=VALUE", about=about)


Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A TOML file, or the name of a shipped recipe.", show_default=False
    ),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", "-p", metavar="NAME", help="Apply this profile of the recipe."),
]
Sets = Annotated[
    list[str] | None,
    repeated(
        "--set", "-s", metavar="TABLE.KEY=VALUE", about="Override an option, such as searcher.epochs=2."
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, … Overrides the recipe."),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run the code in this folder, now and in later commands. Only for people you trust."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]


def default_observers(registry: Registry) -> list[str]:
    """Return the names of the installed observers for terminals."""
    from nasforge.observer import TerminalObserver

    return registry.capable("observer", TerminalObserver)
