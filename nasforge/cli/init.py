"""``nasforge init``: a first recipe."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from nasforge.arch import Arch
    from nasforge.cli.first_recipe import Limits
    from nasforge.cli.own_images import FolderReader
    from nasforge.cli.sizing import Sizing
    from nasforge.images.config import FoundImages
    from nasforge.plugins import Registry
    from nasforge.recipe import Recipe
    from nasforge.recipe.start import Budget, Start
    from nasforge.space import NetworkSpace, Task

__all__ = ["init"]


def init(
    out: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="The recipe to write; or a folder, for --images.")
    ] = Path("recipe.toml"),
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
            "--budget",
            metavar="BUDGET",
            help="Length of a run: smoke, minutes (the default) or full.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, …")
    ] = None,
    max_params: Annotated[
        int | None,
        typer.Option("--max-params", min=1, metavar="N", help="Largest number of parameters."),
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option("--max-latency-ms", metavar="MS", help="Largest latency: milliseconds per image."),
    ] = None,
    latency_backend: Annotated[
        str | None,
        typer.Option(
            "--latency-backend",
            metavar="BACKEND",
            help="Backend that measures latency: torch (the default), onnxruntime, or a command with {file}.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the run's folder.")
    ] = None,
) -> None:
    """Write a recipe that runs, for your own images or for those of a shipped recipe.

    Without options it asks, if standard input is a terminal.
    """
    from nasforge.cli.output import print_table
    from nasforge.cli.own_images import find_readers, inspect_images
    from nasforge.errors import RecipeError, suggest
    from nasforge.plugins import Registry
    from nasforge.recipe.start import BUDGETS, read_start

    if images is None and out.is_dir():
        images, out = out, Path(f"{out.resolve().name}.toml")
    if out.suffix != ".toml":
        raise RecipeError(str(out), ["is not a folder of images; as the name of a recipe it needs .toml."])
    if out.exists():
        rest = "" if images is None else f" --images {shlex.quote(str(images))}"
        raise RecipeError(str(out), [f"exists already. Name another file: nasforge init FILE{rest}"])
    given = (images, budget, device, max_params, max_latency_ms, name)
    if all(value is None for value in given) and sys.stdin.isatty():
        images, budget, device, max_params = _ask()
    limits = _limits(max_params, max_latency_ms, latency_backend)
    budget = budget or "minutes"
    if budget not in BUDGETS:
        raise RecipeError(f"--budget {budget}", [f"no such budget.{suggest(budget, BUDGETS)}"])
    registry, start = Registry.discover(), read_start()
    found = inspect_images(images) if images else None
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
    text = _checked(out, wishes, registry, start, limits)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf8")
    print(f"wrote {out}. Next:")
    print_table(_next(out, wishes, start), indent="  ")


def _next(out: Path, wishes: _Wishes, start: Start) -> list[tuple[str, str]]:
    """Return the next commands, each with a comment; they work one after the other."""
    file, folder = shlex.quote(str(out)), shlex.quote(f"runs/{wishes.name}")
    lines = [
        (f"nasforge check {file} --deep", "# reads all images, and tells how long a run takes"),
        (f"nasforge run {file} --profile {start.trial.profile}", "# every stage, in small"),
        (f"nasforge run {file}", "# the search"),
    ]
    if wishes.images is not None:
        found = wishes.images.found
        photos = shlex.quote(str(found.root / (found.held_out or "train")))
        lines.append((f"nasforge predict {folder} {photos}", "# name images"))
    return [*lines, (f"nasforge export {folder} --format standalone", "# files that need torch alone")]


def _limits(max_params: int | None, max_latency_ms: float | None, backend: str | None) -> Limits:
    """Return the limits of the command line.

    Raises:
        RecipeError: A limit or the backend cannot be.
    """
    from pydantic import ValidationError

    from nasforge.cli.first_recipe import Limits
    from nasforge.errors import RecipeError
    from nasforge.recipe.latency_table import TORCH, LatencyConfig

    if max_latency_ms is not None and not 0 < max_latency_ms < float("inf"):
        raise RecipeError(f"--max-latency-ms {max_latency_ms:g}", ["give milliseconds above 0, such as 5."])
    if backend is not None and max_latency_ms is None:
        raise RecipeError(f"--latency-backend {backend}", ["measures nothing without --max-latency-ms."])
    try:
        LatencyConfig(backend=TORCH if backend is None else backend)
    except ValidationError as error:
        raise RecipeError("--latency-backend", [str(error.errors()[0]["ctx"]["error"])]) from None
    return Limits(max_params, max_latency_ms, None if backend == TORCH else backend)


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


def _checked(out: Path, wishes: _Wishes, registry: Registry, start: Start, limits: Limits) -> str:
    """Return the text of a recipe that is right, with its trial profile as well."""
    import tomllib

    from nasforge.cli.first_recipe import recipe_text
    from nasforge.recipe import check

    def write(sizes: tuple[int, int, str] | None = None) -> str:
        return recipe_text(wishes.name, start, wishes.budget, wishes.images, wishes.device, limits, sizes)

    def load(text: str, profile: str | None = None) -> Recipe:
        return check(tomllib.loads(text), registry, source=str(out), profile=profile)

    text = write()
    if limits:
        text = write(_sizes(load(text), wishes, start, limits))
    for profile in (None, start.trial.profile):
        load(text, profile)
    return text


def _sizes(recipe: Recipe, wishes: _Wishes, start: Start, limits: Limits) -> tuple[int, int, str]:
    """Return the width and depth that make use of the limits, and a remark.

    Raises:
        RecipeError: Even the smallest networks are over a limit, or the space has no such sizes.
    """
    from nasforge.cli.sizing import fit_latency, fit_params
    from nasforge.errors import RecipeError

    sizing = _sizing(recipe, wishes, start, limits)
    remarks = []
    sizes = None
    if limits.max_params is not None:
        sizes = fit_params(sizing, limits.max_params)
        if sizes is None:
            smallest = sizing._replace(widths=sizing.widths[:1], depths=sizing.depths[:1])
            least = fit_params(smallest, float("inf"))
            assert least is not None, "everything is below that limit"
            raise RecipeError(
                f"--max-params {limits.max_params:,}",
                [f"the smallest networks of this recipe have up to {least.cost:,} parameters. Allow that."],
            )
        remarks.append(f"no architecture has more than {sizes.cost:,} parameters")
        narrower = [width for width in sizing.widths if width <= sizes.width]
        sizing = sizing._replace(widths=narrower, depth=sizes.depth)
    if limits.max_latency_ms is not None:
        sizes = fit_latency(sizing, limits.max_latency_ms, _stopwatch(recipe, sizing.task))
        if sizes is None:
            raise RecipeError(
                f"--max-latency-ms {limits.max_latency_ms:g}",
                ["the smallest networks of this recipe are slower here. Allow more, or use smaller images."],
            )
        remarks = [f"typical networks take {sizes.cost:.3g} ms"]
    assert sizes is not None, "there is a limit"
    return sizes.width, sizes.depth, "; ".join(remarks)


def _sizing(recipe: Recipe, wishes: _Wishes, start: Start, limits: Limits) -> Sizing:
    from nasforge.cli.first_recipe import choose_side
    from nasforge.cli.sizing import Sizing
    from nasforge.errors import RecipeError
    from nasforge.recipe import Part, parse_options
    from nasforge.runs.build import build
    from nasforge.space import Task

    part, base = recipe.parts["space"], start.budgets[wishes.budget]
    options = part.config.to_json()
    for size in (start.width, start.depth):
        if not isinstance(options.get(size.option), int):
            flag = "--max-params" if limits.max_params is not None else "--max-latency-ms"
            raise RecipeError(
                flag, [f"space {part.plugin.name!r} has no {size.option!r} to choose. Leave {flag} out."]
            )

    def make(width: int, depth: int) -> Any:
        sizes = {start.width.option: width, start.depth.option: depth}
        return build(Part("space", part.plugin, parse_options(part.plugin, {**options, **sizes})))

    task = Task(**base.task.to_json())
    if wishes.images:
        found = wishes.images.found
        task = Task(3, choose_side(found, start, base), len(found.classes))
    widths = range(base.widths[0], base.widths[1] + 1, start.width.step)
    depths = range(base.depths[0], base.depths[1] + 1, start.depth.step)
    return Sizing(make, widths, depths, options[start.depth.option], task)


def _stopwatch(recipe: Recipe, task: Task) -> Callable[[NetworkSpace[Any], Arch], float]:
    """Return what measures the latency of an architecture as a run of the recipe will."""
    import torch

    from nasforge.runs.limits import make_constraints
    from nasforge.runtime import Runtime

    if recipe.run.threads:
        torch.set_num_threads(recipe.run.threads)
    runtime = Runtime.of(recipe.run)

    def measure(space: NetworkSpace[Any], arch: Arch) -> float:
        limits = make_constraints(recipe.constraints, space, task, runtime, {}, latency=recipe.latency)
        return limits.value(arch, "latency_ms")

    return measure
