"""``nasforge latency``: tables of the latency of options on a device, measured once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli.options import Device, Json, Profile, Recipe, Sets

if TYPE_CHECKING:
    from nasforge.cost.latency_table import LatencyTable
    from nasforge.space import NetworkSpace, Task

__all__ = ["app"]

app = typer.Typer(help="Measure and show latency tables.", no_args_is_help=True)


@app.command("build")
def build_table(
    recipe: Recipe,
    profile: Profile = None,
    sets: Sets = None,
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", metavar="NAME", help="What to call it. Default: recipe and device."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write this .json file, not one in the data folder."
        ),
    ] = None,
    device: Device = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images per call.")] = 1,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads. Overrides the recipe.")
    ] = None,
    clock: Annotated[
        str,
        typer.Option(
            "--clock",
            metavar="wall|cpu",
            help="Count time as it passes, or the CPU seconds of one thread: for a computer others use too.",
        ),
    ] = "wall",
    runs: Annotated[int, typer.Option("--runs", min=1, help="Timed calls of each option and network.")] = 30,
    references: Annotated[
        int, typer.Option("--references", min=2, help="Networks that what is always there is fitted to.")
    ] = 10,
    networks: Annotated[
        int, typer.Option("--networks", min=3, help="Random networks that the error is measured on.")
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the networks.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a table that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Measure every distinct option of a space once, and the error of their sums against whole networks."""
    from nasforge.cli.output import print_json
    from nasforge.cost.latency_table import path_of
    from nasforge.errors import RunError
    from nasforge.files import read_json
    from nasforge.plugins import Registry
    from nasforge.recipe import load

    if clock not in ("wall", "cpu"):
        raise typer.BadParameter(f"{clock!r} is not a clock. Write wall or cpu.", param_hint="--clock")
    loaded = load(recipe, Registry.discover(), profile=profile, overrides=sets or ())
    run = loaded.run
    where = device or run.device

    from nasforge.cost.latency_build import Settings, build_table
    from nasforge.exports.latency import make_backend
    from nasforge.runtime import Runtime

    runtime = Runtime.create(where, run.precision, run.channels_last)
    path = out or path_of(name or f"{run.name}-{str(runtime.device).replace(':', '')}")
    if path.suffix != ".json":
        raise RunError(f"--out {path}: the name of a latency table ends in '.json'.")
    if path.exists() and not replace:
        raise RunError(f"{path}: is there already. Add --replace to overwrite it, or choose another name.")
    space, task = _space_of(loaded)
    settings = Settings(
        batch=batch,
        threads=threads or run.threads,
        clock=clock,  # type: ignore[arg-type]
        runs=runs,
        references=references,
        networks=networks,
        seed=seed,
    )
    described = loaded.resolved()["space"]
    backend = make_backend(loaded.latency, runtime)
    table = build_table(
        space, task, runtime, described, settings=settings, report=_show_share, backend=backend
    ).write(path)
    if as_json:
        print_json(read_json(path))
        return
    _print(table)
    named = f'"{path}"' if out else f'"{path.stem}"'
    print(f"\nstored. In a recipe: [constraints] latency = {named}")


@app.command("show")
def show(
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="[TABLE]", help="Name or .json file of a table; none: list all.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the options of a table and its error against whole networks, or list the tables there are."""
    from nasforge.cli.output import print_json, print_table
    from nasforge.cost import latency_table

    if table is not None:
        found = latency_table.read(table)
        if as_json:
            print_json(found.to_json())
        else:
            _print(found)
        return
    tables = {name: latency_table.read(name) for name in latency_table.tables()}
    if as_json:
        print_json([{"name": name, "path": str(t.path), **t.about} for name, t in tables.items()])
        return
    rows = [
        (name, t.about["space"]["use"], _where(t), f"{t.error['mape']:.1f} %", f"{t.error['spearman']:.3f}")
        for name, t in tables.items()
    ]
    if not rows:
        print(f"no latency tables in {latency_table.folder()}. Measure one: nasforge latency build RECIPE")
        return
    print_table(rows, head=("table", "space", "measured on", "error", "rank correlation"))


def _space_of(recipe: Any) -> tuple[NetworkSpace[Any], Task]:
    from nasforge.errors import PluginError
    from nasforge.runs.build import build
    from nasforge.runs.inputs import task_of
    from nasforge.space import NetworkSpace

    space = build(recipe.parts["space"])
    if not isinstance(space, NetworkSpace):
        raise PluginError(f"space {recipe.parts['space'].plugin.name!r} builds no networks to measure.")
    return space, task_of(recipe, space)


def _where(table: LatencyTable) -> str:
    about = table.about
    counted = "" if about["clock"] == "wall" else " (CPU time)"
    with_what = "" if about.get("backend", "torch") == "torch" else f" with {about['backend']}"
    return (
        f"{about['device']}{with_what}, {about['hardware']}, {about['threads']} thread(s), "
        f"batch {about['batch']}, {about['precision']}{counted}"
    )


def _print(table: LatencyTable) -> None:
    from nasforge.cli.output import print_table

    task = table.about["task"]
    print(
        f"space {table.about['space']['use']}, images of {task['image_size']} pixels, "
        f"{task['num_classes']} classes"
    )
    print(f"on {_where(table)}")
    print()
    rows = [
        (
            unit["option"],
            " x ".join(map(str, unit["shape"][1:])),
            str(unit["places"]),
            f"{unit['median_ms']:.4f}",
            f"{unit['lower_ms']:.4f} to {unit['upper_ms']:.4f}",
        )
        for unit in table.units
    ]
    print_table(rows, head=("option", "input", "places", "ms, median", "quartiles"))
    error = table.error
    print(
        f"\nalways there: {table.cost.rest['latency_ms']:.3f} ms; factor on the sum of the options: "
        f"{table.about['factor']:.3f}"
    )
    print(
        f"error on {error['networks']} other networks: {error['mape']:.1f} % (mean absolute), rank "
        f"correlation {error['spearman']:.3f}; their latencies spread by {error['spread']:.1f} %"
    )


def _show_share(what: str, share: float) -> None:
    if sys.stderr.isatty():
        print(
            f"\rmeasuring {what}: {share:.0%} ", end="\n" if share >= 1 else "", file=sys.stderr, flush=True
        )
