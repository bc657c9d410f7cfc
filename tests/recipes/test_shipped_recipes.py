"""Every recipe that ships is valid in every profile, and its smoke profile runs."""

import math
from functools import reduce
from operator import getitem

import pytest
import torch

import nasforge
from nasforge.arch import Choice
from nasforge.nn import ArchParameters
from nasforge.plugins import Registry
from nasforge.recipe import load, shipped_recipes
from nasforge_plugins.searchers.gradient.penalties import Regularizers

REGISTRY = Registry.discover()
RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}
VARIANTS = [(name, profile) for name in RECIPES for profile in (None, *load(name, REGISTRY).profiles)]

# Data sets that a test cannot download are replaced by images of the same shape.
STAND_IN = [
    'data.use="synthetic"',
    "data.train_images=32",
    "data.test_images=24",
    "data.batch_size=16",
    "data.image_size=16",
]
# Their evaluators and trainings have batches of their own size.
MORE_IMAGES = {
    "once_for_all_cifar10",
    "shrink_resnet18_cifar10",
    "spos_cifar10",
    "spos_nasbench201",
    "train_nasbench201_cifar10",
    "vit_cifar10",
}
# A selection scores every operation of every edge.
FEW_OPTIONS = {
    "darts_pt_cifar10": [
        "space.search_cells=3",
        'space.operations=["max_pool_3x3", "skip_connect", "sep_conv_3x3"]',
    ],
}
SHORT = {"space.eval_cells": 3, "space.search_cells": 3, "space.cells": 3}


@pytest.mark.parametrize(("name", "profile"), VARIANTS)
def test_valid_in_every_profile(name, profile):
    load(name, REGISTRY, profile=profile)


def test_all_are_described_and_have_a_smoke_profile():
    for name, recipe in RECIPES.items():
        assert recipe.summary, f"{name}: the first comment line says what it is"
        assert "smoke" in load(name, REGISTRY).profiles, name


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_smoke_profile_runs(name, tmp_path):
    recipe = load(name, REGISTRY, profile="smoke")
    overrides = ["run.threads=1"]
    if "data" in recipe.parts and recipe.parts["data"].plugin.name not in ("digits", "synthetic"):
        overrides += STAND_IN
    overrides += ["data.train_images=96"] if name in MORE_IMAGES else []
    overrides += FEW_OPTIONS.get(name, [])
    result = nasforge.run(name, overrides, profile="smoke", out=tmp_path)
    assert result.results["derive"]["params"] > 0
    if "train" in recipe.parts:
        assert 0 <= result.results["test"]["accuracy"] <= 100
        assert nasforge.load_network(result.folder) is not None
    else:
        assert result.results["derive"]["looked_up"]["cifar10_valid_accuracy"] > 9


# The published settings, from the authors' scripts; a change here needs a source.
PUBLISHED = {
    "cdarts_cifar10": {
        "data": {"batch_size": 64, "arch_share": 0.5},
        "space": {"channels": 36, "cells": 20, "search_channels": 16, "search_cells": 8, "eval_cells": 20},
        "searcher": {
            "iterations": 32,
            "warmup_epochs": 2,
            "lr": 0.08,
            "arch_lr": 3e-4,
        },
        "searcher.penalty": {"coefficient": 5.0},
        "distiller": {"loss": "smooth_l1", "temperature": 2.0, "freeze_heads": True},
        "train": {"epochs": 600, "batch_size": 128, "lr": 0.025, "auxiliary_weight": 0.4, "cutout": 16},
    },
    "cdarts_imagenet": {
        "data": {"batch_size": 1024, "arch_share": 0.5},
        "space": {"channels": 48, "cells": 14, "stem": "imagenet", "eval_cells": 14},
        "searcher": {"iterations": 40, "warmup_epochs": 10, "lr": 0.8},
        "searcher.twin": {"warmup_epochs": 3},
        "distiller": {"loss": "kl", "freeze_heads": False},
        "train": {"epochs": 250, "lr": 0.5, "weight_decay": 3e-5, "label_smoothing": 0.1, "warmup_epochs": 5},
    },
    "beta_darts_nasbench201": {
        "data": {"batch_size": 64, "arch_share": 0.5},
        "space": {"search_channels": 16, "search_cells": 5},
        "searcher": {"epochs": 100, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "arch_lr": 3e-4},
        "searcher.regularizers": {"beta_decay": 0.5},
    },
    "em_darts_nasbench201": {
        "data": {"batch_size": 64},
        "space": {"search_channels": 16, "search_cells": 5},
        "searcher": {"epochs": 50, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 5e-4, "arch_lr": 3e-4},
        "searcher.mutation": {"probability": [0.0, 0.2]},
    },
    "lambda_darts_nasbench201": {
        "data": {"batch_size": 64},
        "space": {"search_channels": 16, "search_cells": 5},
        "searcher": {"epochs": 100, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "arch_lr": 1e-4},
        "searcher.alignment": {"strength": 0.25, "epsilon": 1e-4},
    },
    "oles_nasbench201": {
        "data": {"batch_size": 64},
        "searcher": {"epochs": 50, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "arch_lr": 3e-4},
        "searcher.early_stopping": {"threshold": 0.4, "interval": 20, "compare": "sum"},
    },
    "drnas_nasbench201": {
        "data": {"batch_size": 64, "arch_share": 0.5},
        "space": {"search_channels": 16, "search_cells": 5},
        "searcher": {"epochs": 100, "warmup_epochs": 0, "lr": 0.025, "min_lr": 1e-3, "arch_lr": 3e-4},
        "searcher.stages": {"epochs": [], "keep": []},
    },
    "drnas_cifar10": {
        "space": {"search_channels": 36, "search_cells": 20, "pool_batch_norm": True},
        "searcher": {"epochs": 50, "warmup_epochs": 10, "lr": 0.1, "min_lr": 0.0, "arch_lr": 6e-4},
        "searcher.stages": {"epochs": [25, 25], "partial_channels": [6, 4], "keep": [4]},
        "searcher.relaxation": {"kind": "dirichlet"},
    },
    "pc_darts_cifar10": {
        "data": {"batch_size": 256},
        "space": {"search_channels": 16, "search_cells": 8, "pool_batch_norm": True},
        "searcher": {
            "epochs": 50,
            "warmup_epochs": 15,
            "lr": 0.1,
            "min_lr": 0.0,
            "arch_lr": 6e-4,
            "partial_channels": 4,
        },
        "train": {"epochs": 600, "batch_size": 96, "lr": 0.025, "weight_decay": 3e-4, "drop_path": 0.3},
    },
    "gdas_cifar10": {
        "data": {"batch_size": 256},
        "space": {"search_channels": 16, "search_cells": 6, "node_inputs": "pairs", "pool_batch_norm": False},
        "searcher": {"epochs": 250, "lr": 0.025, "min_lr": 1e-3, "nesterov": True, "weight_decay": 5e-4},
        "train": {
            "epochs": 300,
            "warmup_epochs": 5,
            "batch_size": 96,
            "nesterov": True,
            "weight_decay": 5e-4,
            "clip": 0,
        },
    },
    "gdas_nasbench201": {
        "data": {"batch_size": 64},
        "searcher": {"epochs": 250, "lr": 0.025, "min_lr": 1e-3, "nesterov": True, "weight_decay": 5e-4},
        "searcher.relaxation": {"kind": "gumbel", "temperature": [10.0, 0.1]},
    },
    "fair_darts_cifar10": {
        "data": {"batch_size": 128},
        "space": {"node_inputs": "threshold", "threshold": 0.85, "pool_batch_norm": True},
        "searcher": {"epochs": 50, "lr": 0.005, "min_lr": 1e-3, "arch_lr": 3e-3, "arch_betas": [0.9, 0.999]},
        "searcher.regularizers": {"zero_one": 10.0},
        "train": {"epochs": 600, "batch_size": 128, "drop_path": 0.2},
    },
    "sdarts_cifar10": {
        "data": {"batch_size": 64},
        "searcher": {"epochs": 50, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "arch_lr": 3e-4},
        "searcher.perturbation": {"kind": "random", "epsilon": [0.03, 0.3]},
        "train": {"batch_size": 96, "drop_path": 0.2, "weight_decay": 3e-4},
    },
    "sdarts_nasbench201": {
        "data": {"batch_size": 64},
        "searcher": {"epochs": 100, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "arch_lr": 3e-4},
        "searcher.perturbation": {"kind": "random", "epsilon": [0.03, 0.3]},
    },
    "beta_darts_cifar10": {
        "data": {"batch_size": 64},
        "searcher": {"epochs": 50, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "arch_lr": 3e-4},
        "searcher.regularizers": {"beta_decay": 0.5},
        "train": {"batch_size": 96, "drop_path": 0.2, "weight_decay": 3e-4},
    },
    "darts_pt_cifar10": {
        "data": {"batch_size": 64},
        "searcher": {"epochs": 50, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "preset": "clean"},
        "searcher.selection": {"epochs": 5, "lr": 2.5e-3, "criterion": "accuracy"},
        "train": {"batch_size": 96, "drop_path": 0.2, "weight_decay": 3e-4},
    },
    "darts_pt_nasbench201": {
        "data": {"batch_size": 64},
        "searcher": {"epochs": 100, "lr": 0.025, "min_lr": 1e-3, "weight_decay": 3e-4, "preset": "clean"},
        "searcher.selection": {"epochs": 5, "lr": 2.5e-3, "criterion": "accuracy"},
    },
    "spos_cifar10": {
        "searcher": {"population": 50, "generations": 20, "parents": 10, "crossover": 0.5, "mutation": 0.1},
        "evaluator": {"schedule": "linear", "min_lr": 0, "label_smoothing": 0.1, "decay_norms": False},
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_are_in_the_recipe(name):
    resolved = load(name, REGISTRY).resolved()
    for table, options in PUBLISHED[name].items():
        found = reduce(getitem, table.split("."), resolved)
        assert {key: found[key] for key in options} == options


@pytest.mark.parametrize("name", ["spos_cifar10", "spos_nasbench201"])
def test_recalibration_is_cheap_in_small_profiles_alone(name):
    evaluator = load(name, REGISTRY).resolved()["evaluator"]
    assert (evaluator["norm"], evaluator["recalibration_images"]) == ("recalibrate", 20_000)
    for profile in ("cpu", "smoke"):
        assert load(name, REGISTRY, profile=profile).resolved()["evaluator"]["recalibration_images"] <= 1024


@pytest.mark.parametrize(("recipe", "last"), [("beta_darts_nasbench201", 49.5), ("beta_darts_cifar10", 24.5)])
def test_the_weight_of_beta_decay_reaches_that_of_its_paper(recipe, last):
    """weights = 0 + 50 * epoch / 100 (optimizers/darts/architect.py), for epochs 0 to 99, or 0 to 49."""
    options = load(recipe, REGISTRY).parts["searcher"].config
    logits = {name: torch.randn(5, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("ab")}
    alpha = ArchParameters([Choice(name, tuple("vwxyz")) for name in logits])
    for name, values in logits.items():
        alpha.logits[name].data.copy_(values)
    mean = sum(math.log(sum(math.exp(v) for v in values.tolist())) for values in logits.values()) / 2
    for epoch in (0, 1, 40, options.epochs - 1):
        found = Regularizers(options.regularizers)(alpha, epoch)
        assert found.item() == pytest.approx(50 * epoch / 100 * mean, rel=1e-6)
    assert 50 * (options.epochs - 1) / 100 == last


@pytest.mark.parametrize("space", ["cifar10", "nasbench201"])
def test_variants_of_one_paper_are_profiles(space):
    """perturb_alpha = pgd_linf of SmoothDARTS; the selection of darts-pt as its code has it."""
    adversarial = load(f"sdarts_{space}", REGISTRY, profile="adversarial").resolved()["searcher"]
    assert adversarial["perturbation"] == {"kind": "adversarial", "epsilon": [0.03, 0.3], "steps": 7}
    selection = load(f"darts_pt_{space}", REGISTRY, profile="official").resolved()["searcher"]["selection"]
    assert {key for key, value in selection.items() if value is True} == {
        "restart",
        "by_position",
        "early_end",
    }
    assert (selection["epochs"], selection["lr"]) == (5, 2.5e-3)


def test_drnas_on_the_benchmark_has_progressive_stages_as_a_profile():
    """ks = [4, 2], num_keeps = [5, 3], 50 epochs each, 10 of warm-up (train_search_progressive.py)."""
    searcher = load("drnas_nasbench201", REGISTRY, profile="progressive").resolved()["searcher"]
    assert searcher["stages"] == {"epochs": [50, 50], "partial_channels": [4, 2], "keep": [3]}
    assert (searcher["epochs"], searcher["warmup_epochs"], searcher["lr"]) == (100, 10, 0.025)


def test_evolution_has_a_profile_of_its_paper():
    """Real et al., AAAI 2019, section 3: a population of 100, samples of 25."""
    searcher = load("search_nasbench201_table", REGISTRY, profile="paper").resolved()["searcher"]
    assert (searcher["population"], searcher["tournament"]) == (100, 25)


def test_the_official_profile_turns_every_quirk_on():
    config = load("cdarts_cifar10", REGISTRY, profile="official").resolved()
    assert config["data"]["split_by"] == "position"
    quirks = ("stale_gradients", "zero_gradients", "copy_bug", "distiller_in_both")
    assert all(config["searcher"]["quirks"][quirk] for quirk in quirks)
    assert config["searcher"]["quirks"]["clip_scope"] == "all"
