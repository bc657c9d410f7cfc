"""The searchers that differ from DARTS in their defaults only: a row for each."""

from collections.abc import Mapping
from typing import Any

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.searchers.gradient.config import GradientConfig

ROWS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "darts": (
        "Weights and architecture learn in turns by gradients (DARTS)",
        "The first-order search of Liu et al. (ICLR 2019) on CIFAR-10; order = 2 is the second-order one.",
        {},
    ),
    "gdas": (
        "One operation per edge is drawn for every batch (GDAS)",
        "The search of Dong and Yang (CVPR 2019): Gumbel noise draws one option per choice and batch.",
        {"epochs": 250, "relaxation": {"kind": "gumbel"}},
    ),
    "pc-darts": (
        "Operations see a quarter of the channels, edges have weights (PC-DARTS)",
        "The search of Xu et al. (ICLR 2020) on CIFAR-10, there with batches of 256 images.",
        {"warmup_epochs": 15, "lr": 0.1, "arch_lr": 6e-4, "edge_weights": "learned", "partial_channels": 4},
    ),
    "drnas": (
        "Option weights are drawn from learned Dirichlet distributions (DrNAS)",
        "The search of Chen et al. (ICLR 2021), in one stage.\n\n"
        "Published on CIFAR-10 are two, in networks of 36 channels and 20 cells: partial_channels = 6, "
        "then 4 with half of the operations.",
        {"warmup_epochs": 10, "lr": 0.1, "min_lr": 0.0, "arch_lr": 6e-4, "relaxation": {"kind": "dirichlet"}},
    ),
    "fair-darts": (
        "Every operation has a sigmoid of its own, driven to 0 or 1 (FairDARTS)",
        "The search of Chu et al. (ECCV 2020) on CIFAR-10, there with batches of 128 images.\n\n"
        "The space decides how many operations are kept; the published threshold of 0.85 may keep fewer.",
        {
            "lr": 0.005,
            "arch_lr": 3e-3,
            "arch_betas": (0.9, 0.999),
            "relaxation": {"kind": "sigmoid"},
            "regularizers": {"zero_one": 10.0},
        },
    ),
    "sdarts": (
        "The network learns to bear disturbed option weights (SDARTS)",
        "The search of Chen and Hsieh (ICML 2020): random (RS) or adversarial (ADV) disturbance.",
        {"perturbation": {"kind": "random"}},
    ),
    "beta-darts": (
        "A decay of the option weights themselves keeps them close (Beta-DARTS)",
        "The search of Ye et al. (CVPR 2022); its beta-decay grows from 0 to 50 over 100 epochs.",
        {"regularizers": {"beta_decay": 0.5}},
    ),
}
"""Summary, description of the options, and defaults that differ from those of DARTS, by name."""


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return a searcher for each row."""
    return [
        Plugin(
            "searcher",
            name,
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            GradientConfig.with_defaults(f"{name.title().replace('-', '')}Config", about, defaults),
            summary,
            needs=frozenset({"data", "space:supernet"}),
            tiny={"epochs": 3, "warmup_epochs": 1, "partial_channels": 1},
        )
        for name, (summary, about, defaults) in ROWS.items()
    ]
