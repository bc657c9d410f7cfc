"""Subsets of ImageNet that published searches use."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nasforge.data import Split
from nasforge.seeding import derive_seed

__all__ = ["SUBSETS", "draw_subset"]

SUBSETS: Mapping[str, Mapping[Split, float]] = {"pc-darts": {"weights": 0.1, "arch": 0.025, "select": 0.0}}
"""Share of each class per split. PC-DARTS: README of yuhuixu1993/PC-DARTS, "10% and 2.5% from each class"."""


def draw_subset(name: str, labels: Tensor, seed: int) -> dict[Split, Tensor]:
    """Draw the images of a subset, class by class, without overlap.

    Args:
        name: A key of `SUBSETS`.
        labels: Class of every training image ``(N,)``, int64.
        seed: The run's seed.

    Returns:
        Positions of the images of each split, ascending, int64. Shares of a class are rounded to whole
        images, of which a share above 0 has at least one.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "data", "subset", name))
    order = torch.randperm(len(labels), generator=generator)
    order = order[torch.argsort(labels[order], stable=True)]
    parts: dict[Split, list[Tensor]] = {split: [] for split in SUBSETS[name]}
    for of_class in order.split(torch.bincount(labels).tolist()):
        start = 0
        for split, share in SUBSETS[name].items():
            count = max(1, round(share * len(of_class))) if share else 0
            parts[split].append(of_class[start : start + count])
            start += count
    return {split: torch.cat(drawn).sort().values for split, drawn in parts.items()}
