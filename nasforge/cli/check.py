"""``nasforge check``: the problems of a recipe, without running it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli.options import Json, Profile, Recipe, Sets

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nasforge.config import PluginConfig
    from nasforge.data import DataModule
    from nasforge.recipe import Recipe as LoadedRecipe

__all__ = ["check"]


def check(
    recipe: Recipe,
    profile: Profile = None,
    sets: Sets = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Read all images, list the broken ones, and forecast a run."),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="Predict the memory on a GPU, and what fits into 24GiB, say."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a recipe without running it: every problem at once, with its line."""
    from nasforge.cli.amounts import parse_memory
    from nasforge.cli.output import print_json, print_table
    from nasforge.plugins import Registry
    from nasforge.recipe import load
    from nasforge.recipe.conventions import departures
    from nasforge.recipe.toml_text import to_toml

    limit = None if memory is None else parse_memory(memory)
    loaded = load(recipe, Registry.discover(), profile=profile, overrides=sets or ())
    _refuse_missing(loaded)
    images = _read_images(loaded) if deep else None
    notes = [_check_limits(loaded), _describe(images) if images is not None else ""]
    found: dict[str, Any] = {}
    if deep:
        found["forecast"] = _forecast(loaded, recipe, profile, sets or ())
    if limit is not None or (deep and _has_gpu(loaded)):
        found["memory"] = _forecast_memory(loaded, images, limit)
    notes += [line for one in found.values() for line in one["text"]]
    if as_json:
        print_json({**loaded.resolved(), **found})
        return
    print(f"ok: {loaded.source} is a valid recipe{f' with profile {profile!r}' if profile else ''}.")
    rows = [("[run]", loaded.run.name or "", _changed(loaded.run, without="name"))]
    brought = [(m.name, ", ".join(f"{p.kind} {p.name}" for p in m.plugins)) for m in loaded.modules]
    rows += [("[plugins]", module, plugins) for module, plugins in brought]
    if limits := loaded.constraints.to_json():
        rows.append(("[constraints]", "", ", ".join(f"{name} = {to_toml(v)}" for name, v in limits.items())))
    rows += [(f"[{table}]", part.plugin.name, _changed(part.config)) for table, part in loaded.parts.items()]
    print_table(rows, indent="  ")
    for note in filter(None, notes):
        print(note)
    for departure in departures(loaded.parts):
        print(f"Note: {departure}")
    if loaded.profiles and profile is None:
        print(f"Profiles: {', '.join(loaded.profiles)}.")


def _refuse_missing(recipe: LoadedRecipe) -> None:
    """Report plugins whose code is missing, before a run would fail to import it.

    Raises:
        RecipeError: There is one.
    """
    from nasforge.errors import RecipeError

    parts = {table: part.plugin for table, part in recipe.parts.items()}
    missing = {table: plugin.missing_target() for table, plugin in parts.items()}
    problems = [
        f"{table}.use: {parts[table].name!r} ({parts[table].origin}) cannot be used: {what} Reinstall it."
        for table, what in missing.items()
        if what
    ]
    if problems:
        raise RecipeError(recipe.source, problems)


def _check_limits(recipe: LoadedRecipe) -> str:
    """Check that some architecture keeps the limits; return a sentence about it.

    Networks are needed for that, so torch is imported; recipes without limits are checked without.

    Raises:
        RecipeError: There is none.
    """
    if not recipe.constraints.to_json():
        return ""
    from nasforge.runs.limits import check_limits

    task = check_limits(recipe)
    if task is None:
        return (
            "Limits were not judged: the size of these images is known when they are read. A run judges them "
            "before its search."
        )
    size = f"{task.image_size} pixels and {task.num_classes} classes"
    return f"Limits: there are architectures that keep them, for images of {size}."


def _read_images(recipe: LoadedRecipe) -> DataModule[Any] | None:
    """Read all images of a recipe, and return them; None if it has none.

    Raises:
        DataError: Images cannot be read. All are listed.
    """
    if "data" not in recipe.parts:
        return None
    from nasforge.runs.build import build
    from nasforge.runs.inputs import read_images
    from nasforge.runtime import Runtime

    data = read_images(recipe, build(recipe.parts["space"]), Runtime.create("cpu"))
    data.verify()
    return data


def _describe(data: DataModule[Any]) -> str:
    sizes, task = data.sizes(), data.task
    return (
        f"Images: {sizes['full']:,} for training and {sizes['test']:,} for testing were read, in "
        f"{task.num_classes:,} classes, at {task.image_size} pixels."
    )


def _has_gpu(recipe: LoadedRecipe) -> bool:
    """Return whether the recipe computes on an accelerator here."""
    from nasforge.runtime import Runtime

    return Runtime.of(recipe.run).device.type != "cpu"


def _forecast_memory(recipe: LoadedRecipe, data: DataModule[Any] | None, limit: int | None) -> dict[str, Any]:
    """Predict the memory of every stage on a GPU; return the forecast as JSON data.

    Raises:
        NasforgeError: A component cannot be built.
    """
    import tempfile

    from nasforge.stages.memory_forecast import forecast_memory

    with tempfile.TemporaryDirectory(prefix="nasforge-") as folder:
        return forecast_memory(recipe, Path(folder), data, limit).to_json()


def _forecast(recipe: LoadedRecipe, name: str, profile: str | None, sets: Sequence[str]) -> dict[str, Any]:
    """Time a few units of every stage, without a run; return the forecast as JSON data.

    Raises:
        NasforgeError: A component cannot be built, or cannot do its work.
    """
    import tempfile
    from dataclasses import replace

    from nasforge.plugins import Registry
    from nasforge.recipe import load
    from nasforge.stages.forecast import forecast_recipe

    registry = Registry.discover()

    def reread(other: str) -> LoadedRecipe:
        return load(name, registry, profile=other, overrides=sets)

    others = tuple(other for other in recipe.profiles if other != profile)
    with tempfile.TemporaryDirectory(prefix="nasforge-") as folder:
        return forecast_recipe(replace(recipe, profiles=others), reread, Path(folder)).to_json()


def _changed(config: PluginConfig, *, without: str = "") -> str:
    """List the options that differ from their defaults."""
    from nasforge.recipe.toml_text import to_toml

    changed = [f"{name} = {to_toml(value)}" for name, value in _differences(config) if name != without]
    return ", ".join(changed) or "(defaults)"


def _differences(config: BaseModel, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the plain value of every option that differs from its default."""
    from nasforge.config import sub_tables

    inner, plain = sub_tables(type(config)), config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        if name in inner:
            yield from _differences(getattr(config, name), f"{at}{name}.")
        elif getattr(config, name) != field.get_default(call_default_factory=True):
            yield f"{at}{name}", plain[name]
