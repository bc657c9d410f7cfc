"""The number of processes never changes a result."""

from __future__ import annotations

import pytest

from support.ranks import run_ranks
from support.sharded import result_of, sharded


def check_equal(recipe, folder, worlds):
    results = {world: result_of(run_ranks(recipe, folder / str(world), world)) for world in worlds}
    assert len(results[1]) > 1
    for world, found in results.items():
        assert found == results[1], f"{world} processes"
    return results[1]


@pytest.mark.parametrize("kind", ["gdas", "train"])
def test_two_processes_compute_what_one_does(kind, tmp_path):
    check_equal(sharded(kind), tmp_path, (1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cdarts", "darts", "drnas", "gdas", "spos", "train"])
def test_four_shards_on_one_two_and_four_processes(kind, tmp_path):
    check_equal(sharded(kind), tmp_path, (1, 2, 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("darts", {"order": 2, "relaxation": {"kind": "gumbel"}}),
        ("sdarts", {"perturbation": {"kind": "adversarial", "steps": 2}}),
        ("sdarts", {"perturbation": {"kind": "random"}}),
        ("darts", {"guard": {"policy": "warn"}}),
        ("cdarts", {"preset": "official"}),
        ("cdarts", {"pretrain": {"epochs": 1}}),
    ],
)
def test_options_of_searches(kind, options, tmp_path):
    recipe = sharded(kind)
    recipe["searcher"] |= options
    check_equal(recipe, tmp_path, (1, 2))


@pytest.mark.slow
def test_three_shards_whose_sums_round(tmp_path):
    recipe = sharded("train", shards=3)
    recipe["evaluator"]["batch_size"] = recipe["train"]["batch_size"] = 9
    recipe["train"]["augment"] = {"policy": "randaugment", "mixup": 0.2}
    recipe["data"]["train_images"] = 40
    check_equal(recipe, tmp_path, (1, 3))


def test_shards_change_the_result(tmp_path):
    whole = result_of(run_ranks(sharded("gdas", shards=1), tmp_path / "1", 1))
    parts = result_of(run_ranks(sharded("gdas", shards=2), tmp_path / "2", 1))
    assert whole["metrics"] != parts["metrics"], "norms see a part of each batch"
