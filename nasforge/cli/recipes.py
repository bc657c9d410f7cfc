"""``nasforge recipes``: the recipes that come with nasforge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nasforge.cli.options import Json

if TYPE_CHECKING:
    from nasforge.recipe.shipped import RecipeCost

__all__ = ["app"]

app = typer.Typer(help="List, show and copy the recipes that come with nasforge.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a shipped recipe.", show_default=False)]


@app.command("list")
def list_recipes(as_json: Json = False) -> None:
    """List the shipped recipes, their profiles, and the time that each takes."""
    from nasforge.cli.output import print_json, print_table
    from nasforge.recipe.shipped import missing_costs, recipe_costs, shipped_recipes

    recipes, (machine, costs), missing = shipped_recipes(), recipe_costs(), missing_costs()
    if as_json:
        print_json(
            [
                {
                    "name": r.name,
                    "summary": r.summary,
                    "profiles": list(r.profiles),
                    "path": str(r.path),
                    "costs": [{**asdict(cost), "machine": machine} for cost in costs.get(r.name, ())],
                    "missing": missing.get(r.name, {}),
                }
                for r in recipes
            ]
        )
        return
    rows = []
    for recipe in recipes:
        times = {cost.profile: _time(cost) for cost in costs.get(recipe.name, ())}
        profiles = [f"{name} {times[name]}" if name in times else name for name in recipe.profiles]
        rows.append((recipe.name, times.get("", "-"), ", ".join(profiles) or "-", recipe.summary))
    print_table(rows, head=("name", "time", "profiles", "summary"))
    if machine:
        print(f"\nTimes: {machine}. {_LEGEND}")
    for reason, names in _by_reason(missing).items():
        print(f"No time: {', '.join(names)}: {reason.rstrip('.')}.")


_LEGEND = (
    "'~' is derived (units of work times the measured time of a unit), '=' is measured (a whole run). On "
    "this computer: nasforge check NAME --deep"
)


def _by_reason(missing: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, reasons in missing.items():
        for profile, reason in reasons.items():
            found.setdefault(reason, []).append(f"{name} ({profile})" if profile else name)
    return found


def _time(cost: RecipeCost) -> str:
    from nasforge.observer import describe_duration

    return f"{'=' if cost.how == 'measured' else '~'}{describe_duration(cost.seconds)}"


@app.command("show")
def show(name: Name) -> None:
    """Print a shipped recipe."""
    print(_shipped(name).read_text(encoding="utf-8"), end="")


@app.command("copy")
def copy(
    name: Name,
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DEST]",
            help="A file.toml, or a folder, made if missing; default: the working directory.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Copy a shipped recipe, to change it."""
    from nasforge.errors import RecipeError

    source = _shipped(name)
    target = destination or Path(source.name)
    if target.is_dir() or not target.suffix:  # a recipe is called something.toml
        target = target / source.name
    if target.exists():
        raise RecipeError(str(target), ["exists already. Name another destination, or remove it."])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    print(f"copied to {target}. Run it: nasforge run {target}")


def _shipped(name: str) -> Path:
    from nasforge.errors import RecipeError, suggest
    from nasforge.recipe.shipped import find_shipped, shipped_recipes

    if path := find_shipped(name):
        return path
    known = [recipe.name for recipe in shipped_recipes()]
    raise RecipeError(name, [f"no shipped recipe of that name.{suggest(name, known)}"])
