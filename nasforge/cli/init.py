"""``nasforge init``: a first recipe."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from nasforge.cli.own_images import FolderReader
    from nasforge.images.config import FoundImages
    from nasforge.plugins import Registry
    from nasforge.recipe import Recipe
    from nasforge.recipe.start import Budget, Start

__all__ = ["init"]


def init(
    out: Annotated[Path, typer.Argument(metavar="[FILE]", help="The recipe to write.")] = Path("recipe.toml"),
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="DIR",
            help="Folder with train/<class>/*.jpg; without it, images that come with nasforge's recipes.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="BUDGET", help="smoke, minutes (the default) or full.", show_default=False
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, …")
    ] = None,
    max_params: Annotated[
        int | None,
        typer.Option("--max-params", min=1, metavar="N", help="Parameters that no network may exceed."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the run's folder.")
    ] = None,
) -> None:
    """Write a recipe that runs, for your own images or for those of a shipped recipe.

    Without options it asks, if standard input is a terminal.
    """
    from nasforge.cli.own_images import find_readers, look_at_images
    from nasforge.errors import RecipeError, suggest
    from nasforge.plugins import Registry
    from nasforge.recipe.start import BUDGETS, read_start

    if out.exists():
        raise RecipeError(str(out), ["exists already. Name another file: nasforge init FILE"])
    asked = all(value is None for value in (images, budget, device, max_params, name)) and sys.stdin.isatty()
    if asked:
        images, budget, device, max_params = _ask()
    budget = budget or "minutes"
    if budget not in BUDGETS:
        raise RecipeError(f"--budget {budget}", [f"no such budget.{suggest(budget, BUDGETS)}"])
    registry, start = Registry.discover(), read_start()
    found = look_at_images(images) if images else None
    readers = find_readers(found, registry, start.data) if found else []
    if found:
        print(
            f"found {found.train:,} training and {found.test:,} test images in {len(found.classes)} classes, "
            f"about {found.side} pixels"
        )
    if len(readers) > 1:
        names = [reader.plugin.name for reader in readers]
        print(f"data plugin {names[0]}; these read the folder as well: {', '.join(names[1:])}")
    wishes = _Wishes(name or _name(out, found), budget, next(iter(readers), None), device)
    text = _checked(out, wishes, registry, start, max_params)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf8")
    print(f"wrote {out}. Next:")
    print(f"  nasforge run {out} --profile {start.trial.profile}")
    print(f"  nasforge run {out}")


def _ask() -> tuple[Path | None, str, str | None, int | None]:
    from nasforge.recipe.start import BUDGETS

    folder = typer.prompt("Folder of your images (empty: those of a shipped recipe)", "", show_default=False)
    budget = typer.prompt(f"Budget ({', '.join(BUDGETS)})", "minutes")
    device = typer.prompt("Device", "auto")
    limit = typer.prompt("Largest number of parameters (empty: any)", "", show_default=False)
    from nasforge.errors import RecipeError

    if limit and not limit.replace("_", "").isdecimal():
        raise RecipeError(limit, ["the largest number of parameters is a whole number, such as 500_000."])
    return (
        Path(folder) if folder else None,
        budget,
        None if device == "auto" else device,
        int(limit or 0) or None,
    )


def _name(out: Path, found: FoundImages | None) -> str:
    words = re.sub(r"[^\w-]+", "-", found.root.name if found else out.stem).strip("-")
    return words or "first-search"


class _Wishes(NamedTuple):
    name: str
    budget: Budget
    images: FolderReader | None
    device: str | None


def _checked(out: Path, wishes: _Wishes, registry: Registry, start: Start, max_params: int | None) -> str:
    """Return the text of a recipe that is right, with its trial profile as well."""
    import tomllib

    from nasforge.cli.first_recipe import recipe_text
    from nasforge.recipe import check

    def write(width: tuple[int, str] | None = None) -> str:
        return recipe_text(wishes.name, start, wishes.budget, wishes.images, wishes.device, width)

    def load(text: str, profile: str | None = None) -> Recipe:
        return check(tomllib.loads(text), registry, source=str(out), profile=profile)

    text = write()
    if max_params:
        text = write(_width(load(text), wishes, start, max_params))
    for profile in (None, start.trial.profile):
        load(text, profile)
    return text


def _width(recipe: Recipe, wishes: _Wishes, start: Start, max_params: int) -> tuple[int, str]:
    from nasforge.cli.first_recipe import choose_side, fitting_width
    from nasforge.errors import RecipeError
    from nasforge.recipe import Part, parse_options
    from nasforge.runs.build import build
    from nasforge.space import Task

    part, base, option = recipe.parts["space"], start.budgets[wishes.budget], start.width.option
    options, step = part.config.to_json(), start.width.step
    if not isinstance(options.get(option), int) or options[option] < step:
        raise RecipeError(
            f"--max-params {max_params:,}",
            [f"space {part.plugin.name!r} has no width {option!r} to choose. Leave --max-params out."],
        )

    def make(width: int) -> Any:
        return build(Part("space", part.plugin, parse_options(part.plugin, {**options, option: width})))

    widths = range(step, options[option] + 1, step)
    task = Task(**base.task.to_json())
    if wishes.images:
        found = wishes.images.found
        task = Task(3, choose_side(found, start, base), len(found.classes))
    best = fitting_width(make, widths, task, max_params)
    if best is None:
        least = fitting_width(make, widths[:1], task, sys.maxsize)
        assert least is not None, "everything is below that limit"
        raise RecipeError(
            f"--max-params {max_params:,}",
            [f"the narrowest networks of this recipe have up to {least[1]:,} parameters. Allow as many."],
        )
    return best[0], f"no architecture has more than {best[1]:,} parameters"
