"""``nasforge init``: a first recipe."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nasforge.cli.first_recipe import Budget, FoundImages

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

    Without options it asks, if run in a terminal.
    """
    from nasforge.cli.first_recipe import BASES, look_at_images
    from nasforge.errors import RecipeError, suggest

    if out.exists():
        raise RecipeError(str(out), ["exists already. Name another file: nasforge init FILE"])
    asked = all(value is None for value in (images, budget, device, max_params, name)) and sys.stdin.isatty()
    if asked:
        images, budget, device, max_params = _ask()
    budget = budget or "minutes"
    if budget not in BASES:
        raise RecipeError(f"--budget {budget}", [f"no such budget.{suggest(budget, BASES)}"])
    found = look_at_images(images) if images else None
    if found:
        print(
            f"found {found.train:,} training and {found.test:,} test images in {len(found.classes)} classes, "
            f"about {found.side} pixels"
        )
    text = _checked(out, name or _name(out, found), budget, found, device, max_params)  # type: ignore[arg-type]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf8")
    print(f"wrote {out}. Next:")
    print(f"  nasforge run {out} --profile smoke")
    print(f"  nasforge run {out}")


def _ask() -> tuple[Path | None, str, str | None, int | None]:
    from nasforge.cli.first_recipe import BASES

    folder = typer.prompt("Folder of your images (empty: those of a shipped recipe)", "", show_default=False)
    budget = typer.prompt(f"Budget ({', '.join(BASES)})", "minutes")
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


def _checked(
    out: Path,
    name: str,
    budget: Budget,
    found: FoundImages | None,
    device: str | None,
    max_params: int | None,
) -> str:
    """Return the text of a recipe that passes its check, with the profile smoke too."""
    import tomllib

    from nasforge.cli.first_recipe import recipe_text
    from nasforge.plugins import Registry
    from nasforge.recipe import Recipe, check

    registry = Registry.discover()

    def load(text: str, profile: str | None = None) -> Recipe:
        return check(tomllib.loads(text), registry, source=str(out), profile=profile)

    text = recipe_text(name, budget, found, device)
    if max_params:
        width = _width(load(text), found, max_params)
        text = recipe_text(name, budget, found, device, width)
    for profile in (None, "smoke"):
        load(text, profile)
    return text


def _width(recipe: Any, found: FoundImages | None, max_params: int) -> tuple[int, str]:
    from nasforge.cli.first_recipe import fitting_width
    from nasforge.errors import RecipeError
    from nasforge.recipe import Part, parse_options
    from nasforge.runs.build import build
    from nasforge.space import Task

    part, data = recipe.parts["space"], recipe.parts["data"].config.to_json()
    size, classes = data.get("image_size") or 32, len(found.classes) if found else 10

    def make(channels: int) -> Any:
        options = {**part.config.to_json(), "channels": channels}
        return build(Part("space", part.plugin, parse_options(part.plugin, options)))

    widths = range(2, part.config.channels + 1, 2)
    task = Task(3, size, classes)
    best = fitting_width(make, widths, task, max_params)
    if best is None:
        least = fitting_width(make, widths[:1], task, sys.maxsize)
        assert least is not None, "everything is below that limit"
        raise RecipeError(
            f"--max-params {max_params:,}",
            [f"the narrowest networks of this recipe have up to {least[1]:,} parameters. Allow as many."],
        )
    return best[0], f"no architecture has more than {best[1]:,} parameters"
