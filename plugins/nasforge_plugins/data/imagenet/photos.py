"""One photo after the other: decode it, augment it from a seed of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from nasforge.errors import DataError
from nasforge.images import Preprocessing
from nasforge.seeding import derive_seed
from nasforge_plugins.data.imagenet.config import ImagenetConfig

__all__ = ["Photos", "collate", "training_transform"]

Sample = tuple[Tensor, int] | str
"""An image ``(3, S, S)`` and its label, or what is wrong with the file."""


def training_transform(config: ImagenetConfig) -> Callable[[Tensor], Tensor]:
    """Return crop, mirror and colour jitter of a training image, on bytes ``(3, H, W)``."""
    steps: list[Any] = [
        v2.RandomResizedCrop(config.image_size, scale=(config.min_crop_share, 1.0), antialias=True)
    ]
    if config.flip:
        steps.append(v2.RandomHorizontalFlip())
    if config.color_jitter or config.hue_jitter:
        jitter = config.color_jitter
        steps.append(v2.ColorJitter(jitter, jitter, jitter, config.hue_jitter))
    return v2.Compose(steps)


class Photos(Dataset[Sample]):
    """Images of one pass by position, as bytes.

    Args:
        folder: Where the files are.
        files: Paths relative to it.
        labels: Class of every file.
        preprocessing: Decodes a file, and makes a plain image of it.
        augment: From bytes ``(3, H, W)`` to bytes ``(3, S, S)``; draws from the global generator only. None
            for plain images.
        seed: Seed of the pass, which ``augment`` draws from.
    """

    def __init__(
        self,
        folder: Path,
        files: tuple[str, ...],
        labels: tuple[int, ...],
        preprocessing: Preprocessing,
        augment: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.folder, self.files, self.labels = folder, files, labels
        self.preprocessing, self.augment, self.seed = preprocessing, augment, seed

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> Sample:
        path, label = self.folder / self.files[position], self.labels[position]
        try:
            if self.augment is None:
                return self.preprocessing.read(path, "data.root"), label
            image = self.preprocessing.decode(path, "data.root")
        except DataError as error:
            return str(error)  # an exception would come out of a loader process as a traceback
        # torchvision draws from the global generator. It is seeded for each image, so that the result does
        # not depend on which process makes it, and put back, because the run's own numbers come from it.
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(derive_seed(self.seed, position))
            return self.augment(image), label
        finally:
            torch.set_rng_state(before)


def collate(samples: list[Sample]) -> tuple[Tensor, Tensor] | str:
    """Stack samples to bytes ``(B, 3, S, S)`` and labels ``(B,)``; hand on the first complaint instead."""
    images, labels = [], []
    for sample in samples:
        if isinstance(sample, str):
            return sample
        images.append(sample[0])
        labels.append(sample[1])
    return torch.stack(images), torch.tensor(labels)
