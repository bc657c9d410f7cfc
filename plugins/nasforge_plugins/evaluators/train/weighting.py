"""Weights of classes in the loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nasforge.data import DataModule, Split
from nasforge_plugins.evaluators.train.config import TrainConfig

__all__ = ["class_weights"]


def class_weights(config: TrainConfig, data: DataModule[Any], split: Split) -> Tensor | None:
    """Return the weight of each class ``(classes,)``, float32 on the CPU; None if all count the same.

    ``"balanced"`` is ``N / (K n_c)`` for N images in K classes (King and Zeng, 2001): all classes then have
    the same share of the loss over an epoch.

    Args:
        config: The option ``class_weights``.
        data: The images.
        split: The images that are trained on; their labels are counted.
    """
    if config.class_weights == "none":
        return None
    if config.class_weights == "balanced":
        counts = torch.tensor(data.class_counts(split), dtype=torch.float64)
        # A class without an image in this split is never a label: its weight is never used.
        return (counts.sum() / (len(counts) * counts.clamp(min=1))).float()
    return torch.tensor(config.class_weights, dtype=torch.float32)
