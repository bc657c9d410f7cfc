"""Steps of searches as CUDA graphs, without a GPU: no number that changes is baked in, inputs stay in place.

The stand-in runs on the meta device, which takes every way of a GPU, and on the CPU, where numbers are right.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no part of the installed package

import nasforge.runtime.graphs
from benchmarks.launches import META, as_on_gpu
from benchmarks.rows import ROWS, TINY
from benchmarks.steps import DartsStep, Setting
from nasforge.runtime import Runtime
from nasforge.runtime.graphs import Graphs
from nasforge.runtime.shards import Shards
from nasforge.training.loops import set_lr
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201
from support.pretend_graph import BakedError, PretendGraphs, capturable_anywhere

CPU = torch.device("cpu")
WARMUPS = 1  # enough for momentum and constants
NAMED = {row.name: row for row in ROWS}


def setting(device=CPU, precision="fp32", graphs=None, **more):
    graphs = graphs or Graphs(True, PretendGraphs())
    return Setting(Runtime(device, precision, graphs=graphs, **more), reference=False, batch=2, image_size=16)


@pytest.fixture(autouse=True)
def _capturable(monkeypatch):
    monkeypatch.setattr(nasforge.runtime.graphs, "WARMUPS", WARMUPS)
    with capturable_anywhere():
        yield


def search(searcher, batches, epochs):
    """Steps of a search as its loop makes them; the rate and the penalties change after every pair."""
    losses = []
    for epoch in range(epochs):
        searcher.epoch = epoch
        set_lr(searcher.search_optimizer, 0.1 / (epoch + 1))
        values = searcher._make(searcher.step_arch, *batches["arch"], batches["weights"])
        values |= searcher._make(searcher.step_search, *batches["weights"])
        losses.append(values)
    return losses


def nasbench201():
    return NasBench201(NasBench201Config.model_validate({"search_channels": 4, "search_cells": 1}))


PENALTIES = {"penalty": {"coefficient": 1.0}, "regularizers": {"beta_decay": 0.5, "entropy": 0.1}}


@pytest.mark.parametrize(
    ("row", "precision"),
    [
        ("nasbench201-darts", "bf16"),
        ("nasbench201", "fp32"),
        ("darts", "fp32"),
        ("cdarts-16", "fp32"),
    ],
)
def test_replays_on_a_gpu_would_be_the_steps(row, precision):
    with as_on_gpu():
        given = setting(META, precision)
        work = NAMED[row].build(replace(given, image_size=TINY[row].image_size), TINY[row])
        search(work.searcher, work.batches, WARMUPS + 2)
    graphs = given.runtime.graphs
    assert graphs._maker.replays == 2 * 2
    assert graphs.describe() == {"wanted": True, "captured": ["step_arch", "step_search"], "eager": {}}


def test_penalties_that_grow_are_tensors():
    given = setting()
    work = DartsStep(given, nasbench201(), PENALTIES)
    search(work.searcher, work.batches, WARMUPS + 2)
    assert given.runtime.graphs._maker.replays == 4


def test_captured_steps_train_as_others_do():
    """Plain optimisers round the rate times the direction once less, so the last bits differ."""
    found = []
    for graphs in (Graphs(), Graphs(True, PretendGraphs())):
        given = setting(graphs=graphs)
        work = NAMED["nasbench201"].build(given, TINY["nasbench201"])
        found.append(search(work.searcher, work.batches, WARMUPS + 2))
    assert found[0][0]["search_loss"].item() != found[0][-1]["search_loss"].item()
    for plain, captured in zip(*found, strict=True):
        assert plain.keys() == captured.keys()
        for name in plain.keys() - {"search_accuracy", "arch_accuracy", "eval_accuracy"}:
            torch.testing.assert_close(captured[name], plain[name], rtol=1e-3, atol=1e-4)


def test_a_rate_that_is_a_number_is_found():
    given = setting()
    work = DartsStep(given, nasbench201())
    searcher = work.searcher
    searcher.search_optimizer = torch.optim.SGD(searcher.search_net.parameters(), 0.1, foreach=True)
    with pytest.raises(BakedError, match="_foreach_add_"):
        search(searcher, work.batches, WARMUPS + 2)


def test_a_strength_that_is_a_number_is_found():
    given = setting()
    searcher = (work := DartsStep(given, nasbench201(), PENALTIES)).searcher
    searcher.refresh_numbers = lambda: None
    with pytest.raises(BakedError, match="mul"):
        search(searcher, work.batches, WARMUPS + 2)


def test_a_network_that_is_replaced_is_found_and_captured_anew():
    given = setting()
    work = NAMED["nasbench201"].build(given, TINY["nasbench201"])
    searcher, arch = work.searcher, work.searcher.twin.arch
    search(searcher, work.batches, WARMUPS + 1)
    searcher.twin.rebuild(arch)
    searcher.twin.network.train()
    with pytest.raises(BakedError, match="static"):
        search(searcher, work.batches, 1)
    searcher.arch = arch
    searcher._renew_twin()
    searcher.twin.network.train()
    before = given.runtime.graphs._maker.replays
    search(searcher, work.batches, WARMUPS + 2)
    assert given.runtime.graphs._maker.replays == before + 4


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"relaxation": {"kind": "gumbel"}}, "Gumbel draws option weights"),
        ({"relaxation": {"kind": "dirichlet"}}, "Dirichlet draws option weights"),
        ({"perturbation": {"kind": "random"}}, "the radius of the perturbation grows"),
        ({"order": 2}, "second order sets weights forth and back"),
    ],
)
def test_other_searches_run_as_they_are(options, reason):
    given = setting()
    work = DartsStep(given, nasbench201(), options)
    search(work.searcher, work.batches, 1)
    eager = given.runtime.graphs.describe()["eager"]
    assert eager == {"step_arch": reason, "step_search": reason}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"shards": Shards(2)}, "batches have shards"),
        ({"precision": "fp16"}, "in fp16 every step decides whether it is made"),
        ({"gradient_checkpointing": True}, "blocks are computed twice"),
    ],
)
def test_some_runs_have_no_graphs(more, reason):
    work = DartsStep(setting(**more), nasbench201())
    assert work.searcher.explain_eager() == reason


def test_gradients_that_outlive_a_step_are_not_captured():
    work = NAMED["nasbench201"].build(setting(), TINY["nasbench201"])
    assert work.searcher.explain_eager() == ""
    work.searcher.update._quirks = work.searcher.config.quirks.model_copy(update={"stale_gradients": True})
    assert work.searcher.explain_eager() == "gradients outlive a step"
