"""Every recipe that ships is valid in every profile, and its smoke profile runs."""

from functools import reduce
from operator import getitem

import pytest

import nasforge
from nasforge.plugins import Registry
from nasforge.recipe import load, shipped_recipes

REGISTRY = Registry.discover()
RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}
VARIANTS = [(name, profile) for name in RECIPES for profile in (None, *load(name, REGISTRY).profiles)]

# Data sets that a test cannot download are replaced by images of the same shape.
STAND_IN = [
    'data.use="synthetic"',
    "data.train_images=96",
    "data.test_images=24",
    "data.batch_size=16",
    "data.image_size=32",
]
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
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_are_in_the_recipe(name):
    resolved = load(name, REGISTRY).resolved()
    for table, options in PUBLISHED[name].items():
        found = reduce(getitem, table.split("."), resolved)
        assert {key: found[key] for key in options} == options


def test_the_official_profile_turns_every_quirk_on():
    config = load("cdarts_cifar10", REGISTRY, profile="official").resolved()
    assert config["data"]["split_by"] == "position"
    quirks = ("stale_gradients", "zero_gradients", "copy_bug", "distiller_in_both")
    assert all(config["searcher"]["quirks"][quirk] for quirk in quirks)
    assert config["searcher"]["quirks"]["clip_scope"] == "all"
