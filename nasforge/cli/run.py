"""``nasforge run``: all stages of a recipe, or those that remain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nasforge.cli.options import Device, Profile, Sets, Trust, default_observers
from nasforge.training.stopping import EXIT_STATUS, Stopped, stopping_on_signals

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
        int | None, typer.Option("--seed", min=0, help="Seed of the run. Overrides the recipe.")
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Resume although the recipe has changed: repeat the stages whose inputs differ."
        ),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=1,
            metavar="N",
            help="Share the shards of every batch (run.shards) among N processes; the result is the same.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 3 if the result misses a limit of the recipe.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Search, derive, train and test; the same command again resumes where it stopped."""
    from nasforge.plugins import Registry

    if trust:
        import nasforge

        nasforge.trust(recipe)
    registry = Registry.discover()
    _check_first(recipe, profile, sets or [], registry)
    if processes is not None and processes > 1:
        words = _words(recipe, profile, sets or [], out, device, seed)
        words += ["--update"] * update + ["--strict"] * strict
        raise typer.Exit(_launch(words, processes, recipe, profile, sets or [], registry))

    from nasforge import api
    from nasforge.cli.output import print_error
    from nasforge.cli.summary import print_summary
    from nasforge.parallel.launch import exit_with_parent, is_reported_elsewhere

    exit_with_parent()
    try:
        with stopping_on_signals():
            result = api.run(
                recipe,
                sets or [],
                profile=profile,
                out=out,
                device=device,
                seed=seed,
                update=update,
                default_observers=default_observers(registry),
                registry=registry,
            )
    except KeyboardInterrupt:
        print_error("interrupted. The same command resumes from the last checkpoint.")
        raise typer.Exit(130) from None
    except Stopped as stop:
        if not is_reported_elsewhere():
            print_error(f"stopped by {stop.reason}, and everything is saved. The same command resumes.")
        raise typer.Exit(EXIT_STATUS) from None
    if is_reported_elsewhere():
        return
    findings = print_summary(result, getattr(context.find_root().command, "commands", ()))
    if result.was_finished:
        print("This run is finished: nothing was left to do. Another one needs another run.name or --out.")
    if strict and any(finding.misses_limit for finding in findings):
        raise typer.Exit(3)


def _words(
    recipe: str, profile: str | None, sets: list[str], out: Path, device: str | None, seed: int | None
) -> list[str]:
    """Return the command for each of several processes."""
    given = {"--profile": profile, "--out": out, "--device": device, "--seed": seed}
    words = ["run", recipe, *(word for text in sets for word in ("--set", text))]
    return words + [str(word) for name, value in given.items() if value is not None for word in (name, value)]


def _launch(
    words: list[str], processes: int, recipe: str, profile: str | None, sets: list[str], registry: Registry
) -> int:
    """Run a command in several processes; return the exit status."""
    from nasforge.parallel.launch import launch
    from nasforge.parallel.start import check_processes
    from nasforge.runs.opening import open_run

    loaded, _ = open_run(recipe, sets, profile, Path(), registry)
    check_processes(loaded.run, processes)  # before starting processes, which would all find the same
    return launch(words, processes, loaded.run.threads)


def _check_first(recipe: str, profile: str | None, sets: list[str], registry: Registry) -> None:
    """Report a wrong recipe at once: loading torch would take seconds."""
    if Path(recipe).is_dir():
        return
    from nasforge.recipe import load

    load(recipe, registry, profile=profile, overrides=sets)
