"""``nasforge bench``: searchers against each other, with many seeds and an equal budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nasforge.cli.options import Json, Profile, Recipe, Sets, default_observers, repeated
from nasforge.training.stopping import EXIT_STATUS, Stopped, stopping_on_signals

if TYPE_CHECKING:
    from nasforge.benches.run import BenchResult

__all__ = ["bench"]


def bench(
    recipe: Recipe,
    searchers: Annotated[
        str | None,
        typer.Option(
            "--searchers",
            metavar="NAME,NAME,…",
            help="Searchers to compare, instead of bench.searchers; LABEL=NAME renames one. "
            "The baseline always takes part.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Runs per searcher, instead of bench.seeds.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="N|TIME",
            help='Evaluations of each run, or their cost in time: 150, "20000 s", "5.5 h". '
            "Instead of bench.budget.",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        repeated(
            "--option",
            metavar="NAME.KEY=VALUE",
            about="An option of one searcher: its label, the option and the value.",
        ),
    ] = None,
    profile: Profile = None,
    sets: Sets = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder that holds the folder of the bench.")
    ] = Path("benches"),
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=1, help="Processes that make runs at the same time.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run searchers with many seeds and an equal budget; the same command again resumes where it stopped."""
    from nasforge.plugins import Registry
    from nasforge.recipe import load

    texts = [*(sets or []), *_overrides(searchers, seeds, budget, options or [])]
    # A wrong recipe is reported at once: loading torch would take seconds.
    registry = Registry.discover()
    load(recipe, registry, profile=profile, overrides=["bench={}", *texts])

    from nasforge import api
    from nasforge.benches.standings import cells, head
    from nasforge.cli.output import print_error, print_json, print_table

    try:
        with stopping_on_signals():
            found = api.bench(
                recipe,
                texts,
                profile=profile,
                out=out,
                workers=workers,
                default_observers=[] if as_json else default_observers(registry),
                registry=registry,
            )
    except KeyboardInterrupt:
        print_error("interrupted. The same command resumes; finished runs are kept.")
        raise typer.Exit(130) from None
    except Stopped as stop:
        print_error(f"stopped by {stop.reason}. The same command resumes; finished runs are kept.")
        raise typer.Exit(EXIT_STATUS) from None
    if as_json:
        print_json([standing.to_json() for standing in found.standings])
        return
    print_table([cells(standing) for standing in found.standings], head=head(found.baseline))
    _print_notes(found)


def _overrides(searchers: str | None, seeds: int | None, budget: str | None, options: list[str]) -> list[str]:
    from nasforge.recipe.toml_text import to_toml

    texts = []
    if searchers is not None:
        names = [name.strip() for name in searchers.split(",") if name.strip()]
        if not names:
            raise typer.BadParameter(
                f"{searchers!r} names no searcher. Give names from nasforge plugins list.",
                param_hint="--searchers",
            )
        texts.append(f"bench.searchers={to_toml(names)}")
    if seeds is not None:
        texts.append(f"bench.seeds={seeds}")
    if budget is not None:
        texts.append(f"bench.budget={to_toml(budget)}")
    return [*texts, *(f"bench.options.{option}" for option in options)]


def _print_notes(found: BenchResult) -> None:
    from nasforge.benches.folder import BenchFolder
    from nasforge.benches.paired import CONFIDENCE
    from nasforge.benches.standings import describe_stalled

    folder = BenchFolder(found.folder)
    stalled = describe_stalled({line.name: folder.read_results(line.name) for line in found.standings})

    print(
        f"\nDifferences are paired by seed, with the {CONFIDENCE:.0%} interval of their mean (Student's t); "
        "* leaves zero out.\nThe best of all runs is what many searches would find together, not one."
    )
    if stalled:
        print(stalled)
    if found.done_before:
        print(f"{found.done_before} runs were finished before.")
    print(f"Written to {found.folder}: summary.md, summary.csv, summary.json, runs.csv.")
