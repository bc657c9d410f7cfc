"""Recipes: TOML tables that name plugins and their options, checked as a whole before anything starts."""

from nasforge.plugins.kinds import TABLES
from nasforge.recipe.part import Part
from nasforge.recipe.recipe import Recipe, check, load, parse_options, registry_for, space_of
from nasforge.recipe.run_table import RunConfig
from nasforge.recipe.shipped import ShippedRecipe, find_recipe, shipped_recipes

__all__ = [
    "TABLES",
    "Part",
    "Recipe",
    "RunConfig",
    "ShippedRecipe",
    "check",
    "find_recipe",
    "load",
    "parse_options",
    "registry_for",
    "shipped_recipes",
    "space_of",
]
