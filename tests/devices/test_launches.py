"""What steps ask of a GPU, counted on the meta device: few operators, no transfers, one device.

A budget is what a step took when it was written, and a little more: whoever adds an operator to every cell
finds out. Sizes are tiny, but depend on cells and edges as those of a search do.
"""

import sys
from pathlib import Path
from random import Random

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no part of the installed package

from benchmarks.launches import META, Launches, as_on_gpu, make_on_meta
from benchmarks.rows import ROWS, TINY
from benchmarks.steps import DartsStep, Setting, TrainEpoch, build_context, draw_batches
from nasforge.runtime import Runtime
from nasforge_plugins.evaluators.supernet.config import SupernetConfig
from nasforge_plugins.evaluators.supernet.training import SupernetTraining
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201

NAMED = {row.name: row for row in ROWS}
SEARCHERS = {
    "darts": {},
    "gdas": {"relaxation": {"kind": "gumbel"}},
    "drnas": {"relaxation": {"kind": "dirichlet"}, "regularizers": {"kl": 1.0}},
    "fair-darts": {"relaxation": {"kind": "sigmoid"}, "regularizers": {"zero_one": 1.0}},
    "sdarts-rs": {"perturbation": {"kind": "random"}},
    "sdarts-adv": {"perturbation": {"kind": "adversarial", "steps": 1}},
    "beta-darts": {"regularizers": {"beta_decay": 0.5, "entropy": 0.1}},
    "pc-darts": {"partial_channels": 2, "edge_weights": "learned"},
    "penalty": {"penalty": {"coefficient": 1.0}},
}
SPACES = {
    "nasbench201": lambda: NasBench201(
        NasBench201Config.model_validate({"search_channels": 4, "search_cells": 1})
    ),
    "darts": lambda: DartsSpace(DartsConfig.model_validate({"search_channels": 4, "search_cells": 3})),
}


@pytest.fixture(autouse=True)
def _gpu():
    with as_on_gpu():
        yield


def setting(precision="fp32"):
    return Setting(Runtime(META, precision), reference=False, batch=2, image_size=16)


def count(step):
    """The second of two steps: the first makes momentum, and brings constants to the device."""
    step()
    with Launches() as counted:
        step()
    return counted


@pytest.mark.parametrize(
    ("row", "precision", "budget"),
    [
        ("nasbench201-darts", "fp32", 765),
        ("nasbench201-darts", "bf16", 910),
        ("nasbench201", "fp32", 1115),
        ("darts", "fp32", 2100),
        ("darts", "bf16", 2300),
        ("cdarts-16", "fp32", 2790),
        ("cdarts-16", "bf16", 3180),
        ("chain", "fp32", 2630),
    ],
)
def test_steps_keep_their_budget(row, precision, budget):
    work = make_on_meta(NAMED[row], "nasforge", TINY[row], precision)
    counted = count(work.step)
    assert counted.transfers == []
    assert counted.mixed == []
    assert counted.total <= budget, counted.launches.most_common(20)


@pytest.mark.parametrize(
    ("searcher", "space"),
    [*((searcher, "nasbench201") for searcher in SEARCHERS), ("gdas", "darts")],
)
def test_steps_of_first_order_copy_nothing(searcher, space):
    counted = count(DartsStep(setting(), SPACES[space](), SEARCHERS[searcher]).step)
    # What is drawn decides which operations run: one copy for each of the two updates.
    expected = 2 if searcher == "gdas" else 0
    assert len(counted.transfers) == expected, counted.transfers
    assert all(t.startswith("Tensor.tolist in relax.py") for t in counted.transfers)
    assert counted.mixed == []


def test_training_copies_nothing():
    space = DartsSpace(DartsConfig.model_validate({"channels": 4, "cells": 3}))
    work = TrainEpoch.__new__(TrainEpoch)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrainEpoch, "step", None)
        work.__init__(setting(), space, "CDARTS", steps=1, options={"cutout": 0, "accumulate": 2})
    training = work.training
    training.augmentation.start(0)
    images, labels = next(iter(draw_batches(training.data, setting()).values()))
    counted = count(lambda: training.step(images, labels))
    assert (counted.transfers, counted.mixed) == ([], [])
    with Launches() as counted:
        training.amount(labels)
    assert counted.transfers == []


def test_supernet_training_copies_nothing():
    space, config = SPACES["nasbench201"](), SupernetConfig.model_validate({"batch_size": 2, "epochs": 1})
    training = SupernetTraining(config, build_context(space, setting()), space)
    training._paths = Random(0)
    images, labels = next(iter(draw_batches(training.data, setting()).values()))
    counted = count(lambda: training.step(images, labels))
    assert (counted.transfers, counted.mixed) == ([], [])


def test_the_counter_sees_copies_and_mixtures():
    x, y = torch.zeros(3, device=META), torch.zeros(3)
    with Launches() as counted:
        torch.tensor([1.0], device="meta")
        y.to(META)
        x.copy_(y)
        float(x[0])
        x[[0, 2]]
        x[torch.ones(2, dtype=torch.long)]
    assert len(counted.transfers) == 5
    assert len(counted.mixed) == 1
    with Launches() as counted:
        (x + 1).view(3, 1)
        y + y
    assert counted.total == 1
    assert counted.idle.total() == 1
