"""Memory of stages, counted on the meta device: what stays, what grows with the batch, what fits."""

import pytest

from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.build import build
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.stages.blank import BlankImages
from nasforge.stages.fitting import find_fit, find_shards
from nasforge.stages.memory import Measured, Rehearsal, StageMemory
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
    shard = made.count_with(memory, 12, 1)
    for shards in (2, 3):
        worst = made.count_with(memory, 12 * shards, shards)
        sums = worst.gradients + 4 * worst.weights + worst.images
        assert shard.peak < worst.peak <= shard.peak + sums
    assert worst.activations == shard.activations


class Bent:
    """Needs that grow with the batch by two straight lines, and refuse less than two images per shard."""

    def __init__(self, recipe):
        self.recipe, self.shards, self.counted = recipe, recipe.run.shards, []

    def count_with(self, memory, batch, shards):
        images = batch // shards
        if images < 2:
            raise ValueError("Expected more than 1 value per channel when training")
        self.counted.append(batch)
        peak = max(5_000 + 100 * images, 160 * images) + 400 * (shards > 1)
        return Measured(peak, 1_000, 1_000, 1_000, peak - 3_000, 0)


@pytest.mark.parametrize(
    ("limit", "largest", "shards"),
    [
        (5_199, 0, None),  # two images need 5,200
        (5_700, 7, 80),  # three images need 5,300, and a sum of gradients 400
        (10_000, 48, 6),  # in five shards, it would be 10,200
        (16_000, 96, 3),
        (26_000, 160, 2),
        (40_000, 248, None),  # the batch of the recipe fits
    ],
)
def test_the_largest_batch_is_found_in_a_few_counts(limit, largest, shards):
    bent = Bent(recipe(data={"batch_size": 240}))
    memory = StageMemory(Search(), bent.count_with(None, 240, 1), 0, 240)
    fit = find_fit(bent, memory, limit)
    assert (fit.option, fit.least, fit.largest) == ("data.batch_size", 2, largest)
    assert fit.fits == (limit >= memory.worst.peak)
    assert len(bent.counted) <= 8
    if not fit.fits:
        assert find_shards(bent, [fit], limit) == shards


def test_recipes_without_networks_need_none(tmp_path):
    tables = {"searcher": {"use": "random", "evaluations": 3}, "evaluator": {"use": "tabular"}}
    found = forecast_memory(recipe(data=None, **tables), tmp_path, None, MIB)
    assert found.stages == []
    assert found.lines() == ["memory on a GPU: no stage of this recipe needs any."]
