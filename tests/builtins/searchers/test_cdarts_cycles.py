"""Preset ``official`` of CDARTS against an independent writing of the published loop, across rebuilds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201
from support.cdarts_pair import Pair, doubles
from support.published_cdarts import Rules
from support.published_cells import DartsCells, NasBench201Cells

TOLERANCE = 1e-11
"""Largest difference between two numbers, in float64; rounding leaves about 1e-13 after three cycles."""

RULES = {"cycles": 4, "warmup": 1, "lr": 0.08, "arch_lr": 0.08}


@pytest.fixture(autouse=True)
def _doubles(monkeypatch):
    with doubles(monkeypatch):
        yield


def nasbench201(execution: str = "fast", **options) -> Pair:
    sizes = {"search_channels": 4, "search_cells": 1, "eval_channels": 4, "eval_cells": 2}
    more = {"skeleton": "official", "cut_none": False, **options.pop("space", {})}
    space = NasBench201(NasBench201Config(**sizes, **more, execution=execution))
    rules = Rules(
        **RULES, search_cells=(1, 1, 1), eval_cells=(2, 2, 2), sample_ratio=options.pop("sample_ratio", 1.0)
    )
    # Node 1 has two convolutions, of which nothing but `none` leads on.
    first = ("nor_conv_3x3", "nor_conv_1x1", "none", "skip_connect", "none", "nor_conv_3x3")
    named = dict(zip(NasBench201Cells.choices(), first, strict=True))

    def alpha(name: str, count: int) -> Tensor:
        drawn = 0.01 * torch.randn(count)
        drawn[NasBench201Cells.operations.index(named[name])] += 0.1
        return drawn

    return Pair(space, NasBench201Cells(), rules, alpha, **options)


def darts(execution: str = "fast", **options) -> Pair:
    sizes = {"search_channels": 4, "search_cells": 4, "eval_channels": 4, "eval_cells": 5}
    space = DartsSpace(DartsConfig(**sizes, stem_multiplier=1, execution=execution))
    rules = Rules(**RULES, search_cells=(2, 1, 1), eval_cells=(2, 2, 1), freeze_heads=True)
    cells = DartsCells()
    cells.reductions = (1, 3)

    def alpha(name: str, count: int) -> Tensor:
        drawn = 0.1 * torch.randn(count)
        drawn[2] += 0.1  # identities, at which the published copy ends
        return drawn

    return Pair(space, cells, rules, alpha, **options)


@pytest.mark.parametrize(
    ("make", "execution"),
    [
        (nasbench201, "fast"),
        (nasbench201, "reference"),
        (darts, "fast"),
        pytest.param(darts, "reference", marks=pytest.mark.campaign),
    ],
)
def test_official_repeats_the_published_loop_across_three_rebuilds(make, execution):
    pair = make(execution)
    derived = [pair.ours.arch]
    for _ in range(RULES["cycles"]):
        assert pair.cycle() < TOLERANCE
        derived.append(pair.ours.arch)
    assert all(map(math.isfinite, pair.theirs.norms))
    assert len(set(derived[1:-1])) > 1, "evaluation networks have to differ"


def test_official_repeats_the_published_share_of_an_epoch():
    pair = nasbench201(sample_ratio=0.5, batches=4)
    assert max(pair.cycle() for _ in range(2)) < TOLERANCE
    assert pair.ours.batches.count("arch") == 3


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (nasbench201, {"quirks": {"fresh_norms": False}}),
        (nasbench201, {"space": {"cut_none": True}}),
        (nasbench201, {"quirks": {"extra_batch": False}, "sample_ratio": 0.5}),
        (nasbench201, {"quirks": {"zero_gradients": False}}),
        (darts, {"quirks": {"copy_bug": False}}),
        (darts, {"quirks": {"clip_scope": "per_network"}}),
    ],
)
def test_the_comparison_notices_every_quirk(make, options):
    pair = make(**options)
    assert any(pair.cycle() > 1e4 * TOLERANCE for _ in range(4))


def test_no_gradient_outlives_a_rebuild(monkeypatch):
    pair = nasbench201()
    for _ in range(2):
        pair.cycle()
    assert any(p.grad is not None for p in pair.ours.search_net.parameters())
    left: list[list[str]] = []

    def step_eval(*batch):
        left.append([n for n, p in pair.ours.collect_parts().named_parameters() if p.grad is not None])
        return original(*batch)

    original = pair.ours.step_eval
    monkeypatch.setattr(pair.ours, "step_eval", step_eval)
    pair.cycle()
    assert left[0] == []
    assert not any(name.startswith(("search.cells", "search.stages", "distiller")) for name in left[1])
