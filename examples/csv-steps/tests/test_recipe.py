"""The recipe that comes with the plugin runs."""

from pathlib import Path

import nasforge

RECIPE = Path(__file__).parents[1] / "recipe.toml"


def test_the_recipe_runs(tmp_path: Path) -> None:
    result = nasforge.run(RECIPE, profile="smoke", out=tmp_path)
    assert result.results["derive"]["notation"]
