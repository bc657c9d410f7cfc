"""``nasforge run``: all stages of a recipe, or those that remain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli.options import Device, Profile, Sets, default_observers

if TYPE_CHECKING:
    from nasforge.api import RunResult
    from nasforge.plugins import Registry

__all__ = ["run"]


def run(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, the name of a shipped recipe, or a run folder to go on with.",
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
) -> None:
    """Search, derive, train and test; the same command again goes on where it stopped."""
    from nasforge.plugins import Registry

    registry = Registry.discover()
    _check_first(recipe, profile, sets or [], registry)

    from nasforge import api
    from nasforge.cli.output import print_error

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
        print_error("interrupted. The same command goes on from the last checkpoint.")
        raise typer.Exit(130) from None
    _print_summary(result)
    if result.was_finished:
        print("This run is finished: nothing was left to do. Another one needs another run.name or --out.")


def _check_first(recipe: str, profile: str | None, sets: list[str], registry: Registry) -> None:
    """Report a wrong recipe at once: loading torch would take seconds."""
    if Path(recipe).is_dir():
        return
    from nasforge.recipe import load

    load(recipe, registry, profile=profile, overrides=sets)


def _print_summary(result: RunResult) -> None:
    from nasforge.cli.output import print_table
    from nasforge.constraints import number

    # Later stages repeat what earlier ones found, so the first report of a value counts.
    reported: dict[str, Any] = {}
    for found in reversed(list(result.results.values())):
        reported |= found
    rows = [("architecture", str(reported.get("notation", "")))]
    rows += [(words, number(reported[key])) for key, words in _SIZES.items() if reported.get(key) is not None]
    rows += _looked_up(reported.get("looked_up"))
    rows += _texts(reported.get("searcher"))
    # The test stage repeats what the train stage measured, so it goes last.
    measured: dict[str, float] = {}
    for found in result.results.values():
        measured |= _accuracies(found)
    rows += [(name.replace("_", " "), f"{value:.2f} %") for name, value in sorted(measured.items())]
    seconds = {stage: found.get("seconds") for stage, found in result.results.items()}
    spent = [f"{stage} {value:.1f}" for stage, value in seconds.items() if isinstance(value, int | float)]
    rows += [("seconds", ", ".join(spent)), ("folder", str(result.folder))]
    print()
    print_table([row for row in rows if row[1]])


def _looked_up(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return a table's entries for the architecture, which the search has not seen."""
    return [(f"{name.replace('_', ' ')} (looked up)", str(value)) for name, value in (found or {}).items()]


def _texts(summary: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return a row for each entry of a searcher's summary that has a text."""
    return [
        (name.replace("_", " "), str(entry["text"]))
        for name, entry in (summary or {}).items()
        if isinstance(entry, Mapping) and entry.get("text")
    ]


_SIZES = {"params": "parameters", "macs": "MACs", "memory": "memory, MiB", "latency_ms": "latency, ms"}


def _accuracies(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the accuracies in a stage's result, also those among the metrics of an evaluation."""
    measured = {
        name: float(value)
        for name, value in found.items()
        if "accuracy" in name and isinstance(value, int | float)
    }
    metrics = found.get("metrics")
    return {**(_accuracies(metrics) if isinstance(metrics, Mapping) else {}), **measured}
