"""CDARTS with architecture parameters for each stage, against an independent writing of that mode."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nasforge_plugins.spaces.darts_stages.config import DartsStagesConfig
from nasforge_plugins.spaces.darts_stages.space import DartsStages
from support.cdarts_pair import Pair, doubles
from support.published_cdarts import Rules
from support.published_cells import DartsCells, Weights

TOLERANCE = 1e-11
"""Largest difference between two numbers after two cycles in float64."""

SIZES = {"search_channels": 4, "search_cells": 5, "eval_channels": 4, "eval_cells": 5, "stem_multiplier": 1}
RULES = {"cycles": 2, "warmup": 0, "lr": 0.08, "arch_lr": 0.1}


@pytest.fixture(autouse=True)
def _doubles(monkeypatch):
    with doubles(monkeypatch):
        yield


class StagedCells(DartsCells):
    """Three sets of parameters for the search network; evaluation networks follow the first everywhere."""

    def choices(self) -> tuple[str, ...]:
        inner = super().choices()
        return tuple(
            f"stage{s}/{name}" for s in range(3) for name in inner if s < 2 or name.startswith("normal")
        )

    def relax(self, alpha: Weights):
        ways = [super(StagedCells, self).relax(strip(alpha, stage)) for stage in range(3)]
        return lambda kind, node, stage: ways[stage](kind, node, stage)

    def derive(self, alpha: Weights):
        return super().derive(strip(alpha, 0))

    def penalty(self, alpha: Weights) -> Tensor:
        """Once, because every stage has its own."""
        return torch.cat([alpha[name][:3].abs() for name in self.choices()]).sum()


def strip(alpha: Weights, stage: int) -> dict[str, Tensor]:
    prefix = f"stage{stage}/"
    return {name.removeprefix(prefix): alpha[name] for name in alpha if name.startswith(prefix)}


def make(preset: str = "official", execution: str = "fast") -> Pair:
    cells = StagedCells()
    cells.reductions = (1, 3)
    rules = Rules(**RULES, search_cells=(2, 2, 1), eval_cells=(2, 2, 1), freeze_heads=True)
    space = DartsStages(DartsStagesConfig(**SIZES, execution=execution))
    options = {"penalty": {"multiplier": 1.0}, "preset": preset}
    return Pair(space, cells, rules, lambda name, count: 0.1 * torch.randn(count), **options)


@pytest.mark.parametrize("execution", ["fast", pytest.param("reference", marks=pytest.mark.campaign)])
def test_parameters_of_each_stage_learn_as_published(execution):
    pair = make(execution=execution)
    for _ in range(RULES["cycles"]):
        assert pair.cycle() < TOLERANCE
    ours = pair.ours
    found, trained = ours.space.split(ours.best()), ours.space.split(ours.twin.arch)
    assert trained[0] == trained[1]
    assert found[0] != found[1]


@pytest.mark.parametrize("preset", ["official", "clean"])
def test_the_evaluation_network_of_each_preset(preset):
    ours = make(preset).ours
    stages = ours.space.split(ours.choose_twin_arch())
    assert (stages[0] == stages[1]) is (preset == "official")
    assert ours.space.split(ours.derive())[0] != ours.space.split(ours.derive())[1]


@pytest.mark.parametrize("preset", ["official", "clean"])
def test_the_start_of_each_preset(preset):
    ours = make(preset).ours
    torch.manual_seed(0)
    ours.setup(ours.ctx)
    logits = ours.alpha.logits
    alike = [torch.equal(v, logits[ours.space.first_stage_name(n)]) for n, v in logits.items()]
    assert all(alike) is (preset == "official")
    assert ours.arch == ours.derive()
