"""Searches in float16: losses are scaled, skipped updates are counted, the scale is part of the state."""

import copy
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3]))  # the installed package does not contain the benchmarks

from benchmarks.rows import ROWS, TINY
from benchmarks.steps import DartsStep, Setting
from nasforge.errors import RunError
from nasforge.runtime import Runtime
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201

NAMED = {row.name: row for row in ROWS}


def setting(precision="fp16"):
    return Setting(Runtime(torch.device("cpu"), precision), reference=False, batch=2, image_size=8)


def make(row):
    return NAMED[row].build(setting(), TINY[row])


def parameters(searcher):
    return torch.cat([p.detach().flatten() for p in searcher.collect_parts().parameters()])


@pytest.mark.parametrize("row", ["nasbench201-darts", "nasbench201"])
def test_updates_are_skipped_and_made(row):
    work = make(row)
    searcher, scale = work.searcher, work.searcher.loss_scale
    scale.factor = 2.0**100
    before = parameters(searcher)
    start = {n: p.detach().clone() for n, p in searcher.collect_parts().named_parameters()}
    assert torch.isfinite(work.step())
    assert scale.skipped == 2
    assert torch.equal(parameters(searcher), before)
    scale.factor = 2.0**10
    work.step()
    assert scale.skipped == 2
    moved = {
        name.split(".")[0]
        for name, parameter in searcher.collect_parts().named_parameters()
        if not torch.equal(parameter, start[name])
    }
    assert moved >= {"alpha", "search"}

    state = copy.deepcopy(searcher.state_dict())
    assert state["loss_scale"] == {"factor": 2.0**10, "row": 2, "skipped": 2}
    other = make(row)
    other.searcher.load_state_dict(state)
    assert other.searcher.loss_scale.state_dict() == scale.state_dict()
    work.step()
    other.step()
    assert torch.equal(parameters(other.searcher), parameters(searcher))


@pytest.mark.parametrize(
    "options",
    [
        {"order": 2},
        {"perturbation": {"kind": "adversarial", "steps": 1}},
        {"alignment": {"strength": 0.25}},
        {"early_stopping": {"threshold": 0.4}},
    ],
)
def test_losses_that_no_update_scales_are_refused(options):
    space = NasBench201(NasBench201Config.model_validate({"search_channels": 4, "search_cells": 1}))
    with pytest.raises(RunError, match=r"fp16 rounds many to zero.*run\.precision"):
        DartsStep(setting(), space, options)
    DartsStep(setting("bf16"), space, options)
