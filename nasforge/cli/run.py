"""``nasforge run``: all stages of a recipe, or those that remain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nasforge.cli.options import Device, Profile, Sets, default_observers

if TYPE_CHECKING:
    from nasforge.plugins import Registry

__all__ = ["run"]


def run(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, the name of a shipped recipe, or a run folder to resume.",
            show_default=False,
        ),
    ],
    profile: Profile = None,
    sets: Sets = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder that holds the run folder.")
    ] = Path("runs"),
    device: Device = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the run; over the recipe's.")
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Accept a run folder of another recipe: redo the stages whose inputs differ."
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 3 if the result misses a limit of the recipe.")
    ] = False,
) -> None:
    """Search, derive, train and test; the same command again resumes where it stopped."""
    from nasforge.plugins import Registry

    registry = Registry.discover()
    _check_first(recipe, profile, sets or [], registry)

    from nasforge import api
    from nasforge.cli.output import print_error
    from nasforge.cli.summary import print_summary

    try:
        result = api.run(
            recipe,
            sets or [],
            profile=profile,
            out=out,
            device=device,
            seed=seed,
            update=update,
            default_observers=default_observers(registry),
        )
    except KeyboardInterrupt:
        print_error("interrupted. The same command resumes from the last checkpoint.")
        raise typer.Exit(130) from None
    findings = print_summary(result, getattr(context.find_root().command, "commands", ()))
    if result.was_finished:
        print("This run is finished: nothing was left to do. Another one needs another run.name or --out.")
    if strict and any(finding.misses_limit for finding in findings):
        raise typer.Exit(3)


def _check_first(recipe: str, profile: str | None, sets: list[str], registry: Registry) -> None:
    """Report a wrong recipe at once: loading torch would take seconds."""
    if Path(recipe).is_dir():
        return
    from nasforge.recipe import load

    load(recipe, registry, profile=profile, overrides=sets)
