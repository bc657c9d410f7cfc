"""Gradient searchers in recipes: the defaults of each name, and the parts that one line adds."""

from __future__ import annotations

from operator import attrgetter

import pytest

from nasforge.plugins import Registry
from nasforge.recipe import load
from nasforge.recipe.toml_text import to_toml
from nasforge.testing import checks_for

REGISTRY = Registry.discover()
NAMES = ("darts", "gdas", "pc-darts", "drnas", "fair-darts", "sdarts", "beta-darts", "darts-pt")


PUBLISHED = {
    "darts": {"epochs": 50, "lr": 0.025, "min_lr": 1e-3, "arch_lr": 3e-4, "arch_weight_decay": 1e-3},
    "gdas": {
        "epochs": 250,
        "lr": 0.025,
        "relaxation.kind": "gumbel",
        "relaxation.temperature": (10.0, 0.1),
        # configs/search-opts/GDAS-NASNet-CIFAR.config of D-X-Y/AutoDL-Projects
        "weight_decay": 5e-4,
        "nesterov": True,
    },
    "pc-darts": {"partial_channels": 4, "edge_weights": "learned", "warmup_epochs": 15, "lr": 0.1},
    "drnas": {
        "relaxation.kind": "dirichlet",
        "lr": 0.1,
        "min_lr": 0.0,
        "arch_lr": 6e-4,
        "warmup_epochs": 10,
    },
    "fair-darts": {
        "relaxation.kind": "sigmoid",
        "regularizers.zero_one": 10.0,
        "lr": 0.005,
        "arch_lr": 3e-3,
        "arch_betas": (0.9, 0.999),
    },
    "sdarts": {"perturbation.kind": "random", "perturbation.epsilon": (0.03, 0.3), "perturbation.steps": 7},
    "beta-darts": {"regularizers.beta_decay": 0.5},
    "darts-pt": {"epochs": 50, "selection.lr": 2.5e-3, "selection.epochs": 5},
}


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_the_published_settings(name):
    config = REGISTRY.get("searcher", name).config()
    assert {option: attrgetter(option)(config) for option in PUBLISHED[name]} == PUBLISHED[name]
    shared = {"momentum": 0.9, "nesterov": False, "weight_decay": 3e-4, "arch_init_std": 1e-3, "order": 1}
    shared = {option: value for option, value in shared.items() if option not in PUBLISHED[name]}
    assert {option: getattr(config, option) for option in shared} == shared


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_adds_parts_in_one_line_each(name):
    lines = [f'searcher={{use="{name}"}}', 'distiller.use="stages"', "searcher.regularizers.entropy=0.01"]
    recipe = load("darts_cifar10", REGISTRY, overrides=lines)
    assert recipe.parts["searcher"].config.regularizers.entropy == 0.01
    assert "distiller" in recipe.parts


CDARTS = {
    "dirichlet": {"relaxation": {"kind": "dirichlet"}},
    "gumbel": {"relaxation": {"kind": "gumbel"}},
    "beta-decay": {"regularizers": {"beta_decay": 0.5}},
}


@pytest.mark.parametrize("options", CDARTS.values(), ids=CDARTS)
def test_cdarts_takes_the_same_parts_in_one_line(options):
    ((table, values),) = options.items()
    (line,) = (f"searcher.{table}.{name}={to_toml(value)}" for name, value in values.items())
    assert load("cdarts_cifar10", REGISTRY, overrides=[line])
    plugin = REGISTRY.get("searcher", "cdarts")
    checks = {check.name: check for check in checks_for(plugin, options=options)}
    checks["resuming_equals_not_stopping"]()
    checks["metrics_are_numbers"]()
