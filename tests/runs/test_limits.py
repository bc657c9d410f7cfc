"""Limits on what a found network may cost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nasforge
from nasforge.arch import Arch
from nasforge.constraints import Constraints, ConstraintsConfig
from nasforge.errors import RecipeError, RunError
from nasforge.plugins import Registry
from nasforge.recipe import check
from support.tiny_recipe import tiny


def table_search(searcher: str = "evolution", **limits: float) -> dict:
    """A search that only looks up: no images, no training."""
    return {
        "run": {"name": "x", "threads": 1},
        "space": {"use": "nasbench201"},
        "searcher": {"use": searcher, "evaluations": 60},
        "evaluator": {"use": "tabular"},
        "constraints": limits,
    }


@settings(max_examples=8, deadline=None)
@given(limit=st.integers(80_000, 1_500_000), seed=st.integers(0, 1000))
@pytest.mark.parametrize("searcher", ["random", "evolution"])
def test_nothing_over_a_limit_is_proposed_or_returned(tmp_path_factory, searcher, limit, seed):
    recipe = table_search(searcher, max_params=limit)
    result = nasforge.run(recipe, out=tmp_path_factory.mktemp("runs"), seed=seed)
    assert result.results["derive"]["params"] <= limit
    assert "over_limit" not in result.results["derive"]
    rows = (result.folder / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == 60


def test_a_limit_that_nothing_keeps_is_an_error_before_the_search(tmp_path):
    with pytest.raises(
        RecipeError, match=r"constraints\.max_params: no architecture of this space can keep 1,000.*73,306"
    ):
        nasforge.run(table_search(max_params=1000), out=tmp_path)


def test_a_result_over_a_limit_is_reported_with_the_excess(tmp_path):
    free = nasforge.run(tiny(train=None), out=tmp_path / "free").results["derive"]
    limits = {"max_params": free["params"] - 1, "max_macs": 1e12}
    derived = nasforge.run(tiny(train=None, constraints=limits), out=tmp_path).results["derive"]
    assert derived["over_limit"] == {"params": 1}


def test_limits_are_part_of_what_a_run_is(tmp_path):
    nasforge.run(table_search(max_params=9e5), out=tmp_path)
    with pytest.raises(RunError, match=r"constraints\.max_params: 900000\.0 in the folder, 800000\.0 now"):
        nasforge.run(table_search(max_params=8e5), out=tmp_path)


def test_costs_are_measured_once():
    asked = []
    limits = Constraints(ConstraintsConfig(max_macs=5), lambda arch: asked.append(arch) or {"macs": 7.0})
    arch = Arch({"a": "x"})
    assert not limits.allow(arch)
    assert limits.find_violations(arch) == {"macs": 2.0}
    assert len(asked) == 1
    with pytest.raises(RunError, match=r"does not tell 'params' of its architectures\. Known: macs"):
        Constraints(ConstraintsConfig(max_params=5), lambda arch: {"macs": 7.0}).allow(arch)


def test_a_misspelt_limit_is_a_recipe_error():
    with pytest.raises(RecipeError, match="Did you mean 'max_params'"):
        check(table_search(max_param=5), Registry.discover())


def test_a_run_that_was_refused_for_its_limit_takes_a_higher_one(tmp_path):
    recipe = {
        "run": {"name": "x", "threads": 1},
        "space": {"use": "nasbench201"},
        "searcher": {"use": "random", "evaluations": 2},
        "evaluator": {"use": "tabular"},
        "constraints": {"max_params": 10},
    }
    with pytest.raises(RecipeError, match="no architecture of this space can keep"):
        nasforge.run(recipe, out=tmp_path)
    recipe["constraints"]["max_params"] = 1e9
    assert "search" in nasforge.run(recipe, out=tmp_path).results


def test_messages_about_limits_have_units():
    limits = Constraints(
        ConstraintsConfig(max_memory=2.5, max_macs=1000, max_latency_ms=4, latency="measured"),
        lambda arch: {"macs": 2e6},
        {"memory": lambda arch: 7.0, "latency_ms": lambda arch: 9.0},
    )
    limits.cost(Arch({"a": "b"}))
    told = str(limits.infeasible_error(5))
    assert "max_memory = 2.5 MiB (the smallest seen so far: 7 MiB)" in told
    assert "max_macs = 1,000 MACs (the smallest seen so far: 2,000,000 MACs)" in told
    assert "max_latency_ms = 4 ms (the smallest seen so far: 9 ms)" in told
