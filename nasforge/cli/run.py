"""``nasforge run``: everything a recipe says, or the rest of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli.options import Profile, Sets, default_observers

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
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, …; over the recipe's."),
    ] = None,
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
    from nasforge.cli.output import say_error

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
        say_error("interrupted. The same command goes on from the last checkpoint.")
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

    derived = result.results.get("derive", {})
    rows = [("architecture", str(derived.get("notation", "")))]
    rows += [(words, number(derived[key])) for key, words in _SIZES.items() if derived.get(key) is not None]
    rows += _looked_up(derived.get("looked_up"))
    guard = result.results.get("search", {}).get("searcher", {}).get("guard", {})
    rows += [("collapse guard", str(guard.get("text", "")))]
    # The test stage repeats what the train stage measured, so it goes last.
    measured: dict[str, float] = {}
    for stage in ("derive", "train", "test"):
        measured |= _accuracies(result.results.get(stage, {}))
    rows += [(name.replace("_", " "), f"{value:.2f} %") for name, value in sorted(measured.items())]
    seconds = {stage: found.get("seconds") for stage, found in result.results.items()}
    spent = [f"{stage} {value:.1f}" for stage, value in seconds.items() if isinstance(value, int | float)]
    rows += [("seconds", ", ".join(spent)), ("folder", str(result.folder))]
    print()
    print_table([row for row in rows if row[1]])


def _looked_up(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return what a table says about the architecture; the search has not seen it."""
    return [(f"{name.replace('_', ' ')} (looked up)", str(value)) for name, value in (found or {}).items()]


_SIZES = {"params": "parameters", "macs": "MACs", "memory": "memory, MiB", "latency_ms": "latency, ms"}


def _accuracies(found: Mapping[str, Any]) -> dict[str, float]:
    """Pick the accuracies out of a stage's result, also those among the metrics of an evaluation."""
    measured = {
        name: float(value)
        for name, value in found.items()
        if "accuracy" in name and isinstance(value, int | float)
    }
    metrics = found.get("metrics")
    return {**(_accuracies(metrics) if isinstance(metrics, Mapping) else {}), **measured}
