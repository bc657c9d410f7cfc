"""Open a run: find its recipe and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nasforge.plugins import Registry
from nasforge.recipe import Recipe, check, load
from nasforge.runs.folder import RunFolder

__all__ = ["open_run", "override_texts"]


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
    if (resolved := folder.resolved) is not None:
        source = str(folder.path / "resolved.json")
        loaded = check(resolved, registry, source=source, overrides=overrides, folder=folder.path)
        return replace(loaded, text=folder.text), folder
    loaded = load(recipe, registry, profile=profile, overrides=overrides)
    return loaded, RunFolder(out / (loaded.run.name or Path(loaded.source).stem))


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
