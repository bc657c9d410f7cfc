"""Batch norms behind pools: which method has them, and what they compute."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge.cli import run_command
from nasforge.plugins import Registry
from nasforge.recipe import load
from nasforge.space import Task
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace

REGISTRY = Registry.discover()
TINY = {"channels": 4, "cells": 4, "search_channels": 4, "search_cells": 3, "stem_multiplier": 1}

# By method: whether the published code norms pools in the search network, and in the network trained at the
# end. Read from the classes MixedOp and Cell of quark0/darts, yuhuixu1993/PC-DARTS,
# xiangning-chen/SmoothDARTS, Sunshine-Ye/Beta-DARTS, xiaomi-automl/FairDARTS, ruocwang/darts-pt; AvgPoolBN
# and MaxPoolBN of xiangning-chen/DrNAS, which both networks use; POOLING of D-X-Y/AutoDL-Projects; Pool of
# microsoft/Cream (CDARTS/lib/models/ops.py).
PUBLISHED = {
    "darts": (True, False),
    "pc-darts": (True, False),
    "sdarts": (True, False),
    "beta-darts": (True, False),
    "fair-darts": (True, False),
    "darts-pt": (True, False),
    "drnas": (True, True),
    "gdas": (False, False),
    "cdarts": (False, False),
}


def space_of(searcher, *more):
    lines = [f'searcher={{use="{searcher}"}}', *(f"space.{line}" for line in more)]
    lines += ['distiller.use="stages"'] if searcher == "cdarts" else []
    return load("darts_cifar10", REGISTRY, overrides=lines).parts["space"].config


def normed_pools(config, scale):
    """The pools of a supernet that a batch norm follows, as a share of all of them."""
    small = DartsSpace(config.model_copy(update=TINY))
    net = small.build(Task(3, 16, 4), scale=scale)
    pools = [
        option
        for module in net.modules()
        if isinstance(module, nn.ModuleDict)
        for name, option in module.items()
        if "pool" in name
    ]
    assert pools
    normed = [p for p in pools if any(isinstance(m, nn.BatchNorm2d) for m in p.modules())]
    assert all(not m.affine for p in normed for m in p.modules() if isinstance(m, nn.BatchNorm2d))
    return len(normed) / len(pools)


@pytest.mark.parametrize("searcher", PUBLISHED)
def test_pools_follow_the_searcher(searcher):
    search, final = PUBLISHED[searcher]
    config = space_of(searcher)
    assert normed_pools(config, "search") == float(search)
    assert normed_pools(config, "eval") == 0.0
    assert normed_pools(config, "final") == float(final)


@pytest.mark.parametrize("searcher", ["darts", "gdas"])
@pytest.mark.parametrize("wanted", [True, False])
def test_the_recipe_overrides_the_searcher(searcher, wanted):
    config = space_of(searcher, f"pool_batch_norm={str(wanted).lower()}")
    assert normed_pools(config, "search") == float(wanted)


def test_searchers_without_conventions_leave_the_space_alone():
    recipe = load("train_genotype_cifar10", REGISTRY)
    assert recipe.parts["space"].config.pool_batch_norm is None
    assert normed_pools(recipe.parts["space"].config, "search") == 0.0


def test_check_shows_what_follows_and_what_departs(capsys):
    run_command(["check", "darts_cifar10"])
    text = capsys.readouterr().out
    assert "pool_batch_norm = true" in text
    assert "Note:" not in text
    run_command(["check", "darts_cifar10", "--set", "space.pool_batch_norm=false"])
    text = capsys.readouterr().out
    assert "space.pool_batch_norm = false differs from the published code of 'darts'" in text
    assert "write pool_batch_norm = true in [space]" in text


@pytest.mark.parametrize("execution", ["fast", "reference"])
@pytest.mark.parametrize("norm", [True, False])
def test_pools_of_a_supernet_are_the_published_mixture(norm, execution):
    """Of a cell that weighs pools alone, the first node is Σ w BN(pool(x)), within 1e-10."""
    torch.manual_seed(0)
    space = DartsSpace(DartsConfig(**TINY, pool_batch_norm=norm, execution=execution))
    net = space.build(Task(3, 16, 4), scale="search").double().train()
    weights = {c.name: torch.zeros(len(c.options), dtype=torch.float64) for c in space.choices}
    weights |= {n: torch.ones_like(w) for n, w in weights.items() if n.endswith("inputs")}
    shares = {"in0": (0.3, 0.7), "in1": (0.6, 0.2)}
    for source, (largest, mean) in shares.items():
        weights[f"normal/node0/{source}"][0] = largest
        weights[f"normal/node0/{source}"][1] = mean
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    seen = []
    image, _ = net.stem(x)
    cell = net.cells[0]
    run, enter = net._executor(x, weights)
    made = run(cell, enter(image), enter(image))
    for source, module in (("in0", cell.before), ("in1", cell.previous)):
        state = module(image)
        pools = [
            F.max_pool2d(state, 3, 1, 1),
            F.avg_pool2d(state, 3, 1, 1, count_include_pad=False),
        ]
        for share, pool in zip(shares[source], pools, strict=True):
            centred = pool - pool.mean((0, 2, 3), keepdim=True)
            spread = centred.square().mean((0, 2, 3), keepdim=True)
            seen.append(share * (centred / (spread + 1e-5).sqrt() if norm else pool))
    torch.testing.assert_close(made[:, :4], sum(seen), rtol=0, atol=1e-10)
