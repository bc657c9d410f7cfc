"""Open a run: find its recipe and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nasforge
from nasforge.errors import CheckpointError, RecipeError, RunError
from nasforge.files import read_json
from nasforge.plugins import Registry
from nasforge.recipe import Recipe, check, load
from nasforge.runs.folder import RunFolder, not_a_run

__all__ = ["open_run", "override_texts", "read_recipe"]


def open_run(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str],
    profile: str | None,
    out: Path,
    registry: Registry,
) -> tuple[Recipe, RunFolder]:
    """Read the recipe of a run, and name its folder; nothing is written.

    Args:
        recipe: A TOML file, the name of a shipped recipe, a run folder to resume, or the tables.
        overrides: ``"table.key=value"`` strings.
        profile: Which profile of the recipe to use.
        out: Folder that holds the run folder.
        registry: The plugins there are.

    Raises:
        RecipeError: The recipe is wrong.
    """
    if isinstance(recipe, Mapping):
        loaded = check(recipe, registry, overrides=overrides, profile=profile)
        return loaded, RunFolder(out / (loaded.run.name or "run"))
    folder = RunFolder(Path(recipe))
    if folder.resolved is not None:
        return read_recipe(folder, registry, overrides), folder
    loaded = load(recipe, registry, profile=profile, overrides=overrides)
    return loaded, RunFolder(out / (loaded.run.name or Path(loaded.source).stem))


def read_recipe(folder: RunFolder, registry: Registry, overrides: Sequence[str] = ()) -> Recipe:
    """Read the complete recipe in a run folder.

    Args:
        folder: The run folder.
        registry: The plugins there are.
        overrides: ``"table.key=value"`` strings.

    Raises:
        RunError: The folder is not a run.
        RecipeError: The recipe is wrong. If another version of nasforge wrote it, the message names that.
    """
    resolved = folder.resolved
    if resolved is None:
        raise RunError(not_a_run(folder.path))
    source = str(folder.path / "resolved.json")
    try:
        recipe = check(resolved, registry, source=source, overrides=overrides, folder=folder.path)
    except RecipeError as error:
        if (writer := _writer(folder.path)) in (None, nasforge.__version__):
            raise
        hint = (
            f"This run was made with nasforge {writer}, whose recipes may differ from those of "
            f"{nasforge.__version__}. Install that version to use it, or run the recipe again."
        )
        raise RecipeError(source, [*error.problems, hint]) from None
    return replace(recipe, text=folder.text)


def _writer(path: Path) -> str | None:
    """Return the version of nasforge that worked in a run folder last; None if it is unknown."""
    try:
        version = read_json(path / "environment.json").get("nasforge")
    except CheckpointError:
        return None
    return version if isinstance(version, str) else None


def override_texts(
    overrides: Sequence[str] | Mapping[str, Any], device: str | None = None, seed: int | None = None
) -> list[str]:
    """Return overrides as ``"table.key=value"`` strings.

    Args:
        overrides: Such strings, or values by dotted key.
        device: Over ``run.device``.
        seed: Over ``run.seed``.
    """
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    extra = [] if device is None else [f'run.device="{device}"']
    return [*overrides, *extra, *([] if seed is None else [f"run.seed={seed}"])]
