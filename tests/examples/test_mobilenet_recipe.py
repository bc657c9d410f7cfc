"""The recipe beside the example space: it brings the space along."""

from pathlib import Path

import pytest

import nasforge
from nasforge.plugins import Registry
from nasforge.recipe import load

RECIPE = Path(__file__).parents[2] / "examples" / "mobilenet_chain" / "recipe.toml"


def test_it_is_valid_in_every_profile():
    registry = Registry.discover()
    for profile in (None, *load(RECIPE, registry).profiles):
        recipe = load(RECIPE, registry, profile=profile)
        assert recipe.parts["space"].plugin.origin.startswith("mobilenet_chain.py ")
        assert recipe.parts["searcher"].plugin.name == "cdarts"
    assert "mobilenet-chain" not in registry.names("space")


@pytest.mark.slow
def test_its_smoke_profile_runs_and_the_network_is_loaded(tmp_path):
    result = nasforge.run(RECIPE, ["run.threads=1"], profile="smoke", out=tmp_path)
    assert result.results["test"]["accuracy"] >= 0
    assert (result.folder / "modules" / "mobilenet_chain.py").is_file()
    assert len(nasforge.load_network(result.folder).layers) == 8
