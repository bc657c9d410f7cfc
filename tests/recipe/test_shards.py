"""Recipes with shards."""

from __future__ import annotations

import pytest

from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.folder import differing, inputs_of
from support.sharded import sharded

REGISTRY = Registry.discover()


@pytest.mark.parametrize("kind", ["darts", "cdarts", "spos", "train"])
def test_batches_divide_into_shards(kind):
    assert check(sharded(kind), REGISTRY).run.shards == 4


@pytest.mark.parametrize(
    ("kind", "where"),
    [("gdas", "data.batch_size"), ("cdarts", "data.batch_size"), ("spos", "evaluator.batch_size")],
)
def test_a_batch_that_does_not_divide_is_a_problem_of_the_recipe(kind, where):
    with pytest.raises(RecipeError) as caught:
        check(sharded(kind, shards=3), REGISTRY)
    assert f"{where}: 8 images do not divide into run.shards = 3 equal parts. Set it to 9, or" in str(
        caught.value
    )


def test_every_batch_is_checked():
    with pytest.raises(RecipeError) as caught:
        check(sharded("train", shards=3), REGISTRY)
    assert "evaluator.batch_size: 8 images" in str(caught.value)
    assert "train.batch_size: 16 images do not divide into run.shards = 3 equal parts. Set it to 15" in str(
        caught.value
    )


def test_data_that_nothing_trains_with_is_not_checked():
    recipe = sharded("spos", shards=4)
    recipe["data"]["batch_size"] = 7
    assert check(recipe, REGISTRY).run.shards == 4


def test_folders_from_before_shards_keep_their_stages():
    now = check(sharded("darts", shards=1), REGISTRY).resolved()
    before = {**now, "run": {k: v for k, v in now["run"].items() if k != "shards"}}
    assert not list(differing(before, now))
    assert inputs_of(before, "data") == inputs_of(now, "data")
    more = {**now, "run": {**now["run"], "shards": 2}}
    assert list(differing(before, more)) == [("run.shards", 1, 2)]
    assert inputs_of(more, "data") != inputs_of(now, "data")
