"""The recipes that come with nasforge."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasforge.errors import RecipeError, suggest

__all__ = [
    "RecipeCost",
    "ShippedRecipe",
    "find_recipe",
    "find_shipped",
    "missing_costs",
    "recipe_costs",
    "shipped_recipes",
]

COSTS = "costs.json"
"""Times of the shipped recipes on one computer, which ``benchmarks/costs.py`` writes."""


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that is installed with nasforge.

    Attributes:
        name: How ``nasforge run`` and ``extends`` call it.
        path: Its file.
        summary: The first line of its opening comment.
        profiles: Names of its profiles, without those of the recipes it extends.
    """

    name: str
    path: Path
    summary: str
    profiles: tuple[str, ...]


def shipped_recipes() -> list[ShippedRecipe]:
    """List the recipes that can be run; those in sub-folders are only there to be extended."""
    return [_describe(path) for path in sorted(_folder().glob("*.toml"))]


@dataclass(frozen=True)
class RecipeCost:
    """Time of a shipped recipe, with one of its profiles or without.

    Attributes:
        profile: Name of the profile; empty for none.
        seconds: Processor time on the computer of the list, with one thread.
        how: ``"measured"``: a whole run; ``"derived"``: units of work times the measured time of a unit.
    """

    profile: str
    seconds: float
    how: str


def recipe_costs() -> tuple[str, dict[str, list[RecipeCost]]]:
    """Return the computer that the times of the shipped recipes belong to, and the times by recipe."""
    stored = _stored_costs()
    costs = {
        name: [RecipeCost(profile, cost["seconds"], cost["how"]) for profile, cost in profiles.items()]
        for name, profiles in stored.get("costs", {}).items()
    }
    return stored.get("machine", ""), costs


def missing_costs() -> dict[str, dict[str, str]]:
    """Return the reason why a time is missing, by recipe and profile; the empty profile is none."""
    stored = _stored_costs()
    known, reasons = stored.get("costs", {}), stored.get("missing", {})
    found: dict[str, dict[str, str]] = {}
    for recipe in shipped_recipes() if stored else ():
        for profile in ("", *recipe.profiles):
            if profile not in known.get(recipe.name, {}):
                reason = reasons.get(recipe.name, {}).get(profile, "not timed yet")
                found.setdefault(recipe.name, {})[profile] = reason
    return found


def _stored_costs() -> dict[str, Any]:
    path = _folder() / COSTS
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def find_shipped(name: str) -> Path | None:
    """Return the file of a shipped recipe, or None if there is none of that name.

    Args:
        name: With or without ``.toml``, and with its sub-folder if it has one.
    """
    folder = _folder()
    path = folder / (name if name.endswith(".toml") else f"{name}.toml")
    inside = path.resolve().is_relative_to(folder.resolve())
    return path if inside and path.is_file() else None


def find_recipe(name: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        name: A path, or the name of a shipped recipe; a file of that name goes first.

    Raises:
        RecipeError: Neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(str(name), ["this is a folder, not a recipe. Name the TOML file in it."])
    if shipped := find_shipped(str(name)):
        return shipped
    known = [recipe.name for recipe in shipped_recipes()]
    near = suggest(path.stem, known).replace("Known:", "Shipped recipes:")
    raise RecipeError(str(name), [f"no such file, and no shipped recipe of that name.{near}"])


def _folder() -> Path:
    package = Path(__file__).parents[1]
    # A wheel carries the recipes inside the package; an editable install leaves them beside it.
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def _describe(path: Path) -> ShippedRecipe:
    text = path.read_text(encoding="utf-8")
    first = text.lstrip().partition("\n")[0]
    try:
        profiles = tomllib.loads(text).get("profiles", {})
    except tomllib.TOMLDecodeError:
        profiles = {}
    return ShippedRecipe(
        path.stem,
        path,
        first.lstrip("# ").strip() if first.startswith("#") else "",
        tuple(profiles) if isinstance(profiles, dict) else (),
    )
