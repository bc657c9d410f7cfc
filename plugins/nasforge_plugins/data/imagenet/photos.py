"""One photo after the other: decode it, augment it from a seed of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from nasforge.errors import DataError
from nasforge.images import Preprocessing
from nasforge.images.files import Folder
from nasforge.seeding import derive_seed
from nasforge_plugins.data.imagenet.config import ImagenetConfig
from nasforge_plugins.data.imagenet.jitter import draw_jitter, jitter
from nasforge_plugins.data.imagenet.resized import ResizedPhotos

__all__ = ["Key", "PhotoAugmentation", "Photos", "collate"]

Key = tuple[int, int | None]
"""Position of a photo in its folder, and the seed of a training pass; None for a plain image."""

Sample = tuple[Tensor, int, Tensor | None] | str
"""An image ``(3, S, S)``, its label and its jitter if that is left to the device, or what is wrong."""


class PhotoAugmentation:
    """Crop, mirror and colour jitter of a training image.

    Args:
        config: The options.
        jitters: Compute the jitter here. Off: it is drawn, and computed for a whole batch elsewhere.
    """

    def __init__(self, config: ImagenetConfig, jitters: bool) -> None:
        steps: list[Any] = [
            v2.RandomResizedCrop(config.image_size, scale=(config.min_crop_share, 1.0), antialias=True)
        ]
        if config.flip:
            steps.append(v2.RandomHorizontalFlip())
        self._crop: Callable[[Tensor], Tensor] = v2.Compose(steps)
        self._ranges = config.color_jitter, config.hue_jitter
        self._jitters = jitters

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Augment one image; draws from the global generator only.

        Args:
            image: uint8 ``(3, H, W)``.

        Returns:
            uint8 ``(3, S, S)``, and the jitter that is left to do, ``(8,)``.
        """
        image = self._crop(image)
        if not any(self._ranges):
            return image, None
        draws = draw_jitter(*self._ranges)
        return (jitter(image[None], draws[None])[0], None) if self._jitters else (image, draws)


class Photos(Dataset[Sample]):
    """The images of a folder as bytes. A key holds all that an image depends on, so there is no state.

    Args:
        folder: The files.
        preprocessing: Decodes a file, and makes a plain image of it.
        augmentation: For keys with a seed.
        resized: Photos that are stored already, for keys with a seed; None decodes the files.
    """

    def __init__(
        self,
        folder: Folder,
        preprocessing: Preprocessing,
        augmentation: PhotoAugmentation,
        resized: ResizedPhotos | None = None,
    ) -> None:
        self.folder, self.preprocessing = folder, preprocessing
        self.augmentation, self.resized = augmentation, resized

    def __len__(self) -> int:
        return len(self.folder.files)

    def __getitem__(self, key: Key) -> Sample:
        position, seed = key
        path, label = self.folder.path / self.folder.files[position], self.folder.labels[position]
        try:
            if seed is None:
                return self.preprocessing.read(path, "data.root"), label, None
            image = self.resized.read(position) if self.resized is not None else None
            if image is None:
                image = self.preprocessing.decode(path, "data.root")
        except DataError as error:
            return str(error)  # an exception would come out of a loader process as a traceback
        # torchvision draws from the global generator. It is seeded for each image, so that the result does
        # not depend on which process makes it, and put back, because the run's own numbers come from it.
        before = torch.get_rng_state()
        try:
            torch.default_generator.manual_seed(derive_seed(seed, position))
            augmented, draws = self.augmentation(image)
        finally:
            torch.set_rng_state(before)
        return augmented, label, draws


def collate(samples: list[Sample]) -> tuple[Tensor, Tensor, Tensor | None] | str:
    """Stack samples, or hand on the first complaint instead.

    Returns:
        Bytes ``(B, 3, S, S)``, labels ``(B,)``, and draws of the jitter ``(B, 8)`` if that is left to do.
    """
    images, labels, draws = [], [], []
    for sample in samples:
        if isinstance(sample, str):
            return sample
        images.append(sample[0])
        labels.append(sample[1])
        if sample[2] is not None:
            draws.append(sample[2])
    return torch.stack(images), torch.tensor(labels), torch.stack(draws) if draws else None
