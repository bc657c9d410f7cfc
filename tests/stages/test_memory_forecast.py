"""Memory of stages, counted on the meta device: what stays, what grows with the batch, what fits."""

import pytest

from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.build import build
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.stages.blank import BlankImages
from nasforge.stages.fitting import find_fit, find_shards
from nasforge.stages.memory import Rehearsal
from nasforge.stages.memory_forecast import forecast_memory
from nasforge.stages.search import Search
from support.tiny_recipe import tiny

SPACE = {"use": "nasbench201", "search_channels": 4, "search_cells": 1}
TASK = Task(3, 16, 3)
MIB = 2**20


def recipe(**tables):
    tables = {"searcher": {"use": "darts"}, "space": SPACE, "train": None, **tables}
    return check(tiny(**tables), Registry.discover())


def rehearsal(recipe, folder):
    data = build(recipe.parts["data"])
    return Rehearsal(recipe, folder, BlankImages(data, TASK, Runtime.of(recipe.run, "cpu"), False))


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    made = rehearsal(recipe(), tmp_path_factory.mktemp("counted"))
    return made, made.count(Search())


def test_what_stays_is_the_network_and_the_state_of_two_optimisers(counted):
    made, memory = counted
    network = build(made.recipe.parts["space"]).build(TASK, None, "search")
    trained = sum(p.numel() for p in network.parameters())
    alpha = 6 * 5  # six edges, five operations
    assert memory.batch == 12
    assert memory.problems == ()
    assert memory.worst.optimizers == 4 * (trained + 2 * alpha)  # momentum; both moments of Adam
    assert memory.worst.gradients == 4 * trained
    assert memory.worst.weights == sum(b.nbytes for b in network.buffers()) + 4 * (trained + alpha)
    assert memory.worst.images == 2 * 12 * (3 * 16 * 16 * 4 + 8)  # of both splits, with labels
    assert memory.worst.activations < memory.worst.peak


def test_shards_need_the_activations_of_one(counted):
    made, memory = counted
    one = made.count_with(memory, 48, 1)
    shard = made.count_with(memory, 12, 1)
    for shards in (2, 4):
        worst = made.count_with(memory, 12 * shards, shards)
        sums = worst.gradients + 4 * worst.weights + worst.images
        assert shard.peak < worst.peak <= shard.peak + sums
    assert worst.activations == shard.activations < one.activations / 3


def test_the_largest_batch_fits_and_the_next_does_not(counted):
    made, memory = counted
    for limit in (memory.worst.peak // 2, 3 * memory.worst.peak):
        fit = find_fit(made, memory, limit)
        assert fit.option == "data.batch_size"
        assert fit.fits == (limit > memory.worst.peak)
        assert made.count_with(memory, fit.largest, 1).peak <= limit
        more = fit.largest + (1 if fit.largest < 16 else 8)
        assert made.count_with(memory, more, 1).peak > limit
    assert find_shards(made, [find_fit(made, memory, int(0.6 * memory.worst.peak))], limit) == 2


def test_a_forecast_names_what_to_write(tmp_path):
    lines = forecast_memory(recipe(), tmp_path, None, 2**18).lines()
    assert lines[0] == "memory on a GPU, predicted for images of 16 pixels and 3 classes:"
    assert lines[1].startswith("  search  ")
    assert lines[-1].startswith("  # search: a batch of 1 already needs ") or "data.batch_size" in lines[-1]


def test_recipes_without_networks_need_none(tmp_path):
    tables = {"searcher": {"use": "random", "evaluations": 3}, "evaluator": {"use": "nasbench201"}}
    found = forecast_memory(recipe(data=None, **tables), tmp_path, None, MIB)
    assert found.stages == []
    assert found.lines() == ["memory on a GPU: no stage of this recipe needs any."]
