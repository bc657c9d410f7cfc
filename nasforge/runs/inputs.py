"""Inputs of the networks of a recipe: its images, and their size."""

from __future__ import annotations

from typing import Any

from nasforge.component import Context, Slot
from nasforge.data import DataModule
from nasforge.errors import DataError, RunError, is_out_of_memory
from nasforge.recipe import Recipe
from nasforge.runs.build import build
from nasforge.runs.scope import SEARCH
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace, SearchSpace, Task

__all__ = ["describe_images", "expected_task", "published_task", "read_images", "task_of"]


def read_images(recipe: Recipe, space: SearchSpace[Any], runtime: Runtime) -> DataModule[Any]:
    """Build and set up the data module of a recipe.

    Args:
        recipe: Has a ``[data]`` table.
        space: The space of the recipe.
        runtime: Where small image sets live.

    Raises:
        DataError: The images cannot be read.
    """
    data: DataModule[Any] = build(recipe.parts["data"])
    try:
        data.setup(Context(space, runtime, recipe.run.seed, SEARCH.stage, _no_slot, lambda values: None))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DataError(
            "data: out of memory: the images do not fit. Use fewer of them (data.limit_train), smaller ones, "
            "or data that decode images when they are needed."
        ) from None
    return data


def describe_images(data: DataModule[Any]) -> dict[str, Any]:
    """Return what a user of the trained network must know about its images, as JSON data.

    Args:
        data: The images, already set up.

    Returns:
        ``class_names``, and ``preprocessing``: None if the images do not come from files.
    """
    described = data.preprocessing
    return {
        "class_names": list(data.class_names),
        "preprocessing": described.to_json() if described else None,
    }


def published_task(space: SearchSpace[Any]) -> Task:
    """Return input and output sizes of a space's published networks, for recipes without images."""
    return space.reference_task if isinstance(space, NetworkSpace) else Task()


def expected_task(recipe: Recipe, space: SearchSpace[Any]) -> Task | None:
    """Return input and output sizes if they are known without reading images, else None.

    Args:
        recipe: Names the images, if it has any; else the sizes are those of the space's published networks.
        space: The space of the recipe.
    """
    if "data" not in recipe.parts:
        return published_task(space)
    data: DataModule[Any] = build(recipe.parts["data"])
    return data.expected_task()


def task_of(recipe: Recipe, space: SearchSpace[Any]) -> Task:
    """Return input and output sizes of a recipe's networks; images are read only if nothing else tells.

    Args:
        recipe: Names the images, if it has any.
        space: The space of the recipe.

    Raises:
        DataError: The images cannot be read.
    """
    return expected_task(recipe, space) or read_images(recipe, space, Runtime.create("cpu")).task


def _no_slot(name: str) -> Slot:
    raise RunError(f"slot {name!r}: data modules have nothing to save.")
