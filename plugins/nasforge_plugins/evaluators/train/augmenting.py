"""Random changes of training batches, as the options of a training say."""

from __future__ import annotations

import torch
from torch import Tensor

from nasforge.images.mixing import Mixing
from nasforge_plugins.evaluators.train.options import AugmentOptions

__all__ = ["Augmentation"]


class Augmentation:
    """Changes training batches at random.

    Args:
        options: Which changes.
        classes: Number of classes.
    """

    def __init__(self, options: AugmentOptions, classes: int) -> None:
        self._mixing: Mixing | None = None
        if options.mixes:
            self._mixing = Mixing(options.mixup, options.cutmix, options.mix_share, classes)

    def start(self, seed: int) -> None:
        """Begin an epoch.

        Args:
            seed: What all draws of the epoch depend on.
        """
        self._generator = torch.Generator().manual_seed(seed)

    def mix(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the images of a batch; see `nasforge.images.mixing.Mixing`."""
        return (images, labels) if self._mixing is None else self._mixing(images, labels, self._generator)
