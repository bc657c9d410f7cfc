"""Images in folders named after their classes, decoded once into memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nasforge.errors import DataError
from nasforge.images import ImageSet, InMemoryImages, decode, resize
from nasforge.images.duplicates import warn_of_shared
from nasforge.images.files import Folder, compare_classes, list_folder
from nasforge.images.splits import balanced_order
from nasforge_plugins.data.image_folder import cache
from nasforge_plugins.data.image_folder.config import ImageFolderConfig

__all__ = ["ImageFolder"]


class ImageFolder(InMemoryImages[ImageFolderConfig]):
    """Images below ``root/train/<class>/`` and ``root/test/<class>/``, as RGB."""

    def load(self) -> ImageSet:
        """List, decode and scale the images, or take them from the cache.

        Raises:
            DataError: A folder is missing or empty, the classes of the two folders differ, an image cannot
                be read, or images differ in size and no size is set.
        """
        root, share = self.config.root, self.config.test_share
        if not root.is_dir():
            raise DataError(
                f"data.root: there is no folder '{root}'. It must hold train/<class>/ and test/<class>/."
            )
        train = list_folder(root / "train", "data.root")
        if (root / "test").exists():
            if share:
                raise DataError(
                    f"data.test_share: is {share:g}, but there is a folder '{root / 'test'}'. Remove one of "
                    "the two."
                )
            test = list_folder(root / "test", "data.root")
            compare_classes(train, test, "data.root")
            warn_of_shared(_paths(train), _paths(test), "data.root")
            return ImageSet(
                self._images(train),
                torch.tensor(train.labels),
                self._images(test),
                torch.tensor(test.labels),
                train.classes,
            )
        if not share:
            raise DataError(
                f"data.root: there is no folder '{root / 'test'}'. Make one with the same classes as 'train' "
                "or set data.test_share, for example 0.2, to take the test images from 'train'."
            )
        images, labels = self._images(train), torch.tensor(train.labels)
        order = balanced_order(labels, seed=0)
        count = max(1, round(len(order) * share))
        test_order, train_order = order[:count].sort().values, order[count:].sort().values
        paths = _paths(train)
        chosen, held_out = train_order.tolist(), test_order.tolist()
        warn_of_shared([paths[i] for i in chosen], [paths[i] for i in held_out], "data.root")
        return ImageSet(
            images[train_order], labels[train_order], images[test_order], labels[test_order], train.classes
        )

    def _images(self, folder: Folder) -> Tensor:
        if not self.config.cache:
            return self._decoded(folder)
        path = cache.cache_path(folder, self.config)
        images = cache.load(path, len(folder.files))
        if images is None:
            images = self._decoded(folder)
            cache.store(path, images)
        return images

    def _decoded(self, folder: Folder) -> Tensor:
        size = self.config.image_size
        first = self._one(folder, folder.files[0])
        shape = first.shape
        if size is None and shape[0] != shape[1]:
            raise DataError(
                f"data.root: image '{folder.path / folder.files[0]}' is {shape[1]} x {shape[0]} pixels, "
                "networks take squares. Set data.image_size to the side you want: the middle square is cut "
                "out and scaled to it (or set data.resize)."
            )
        images = np.empty((len(folder.files), *shape), np.uint8)

        def decode_into(position: int) -> None:
            image = self._one(folder, folder.files[position])
            if image.shape != shape:
                raise DataError(
                    f"data.root: image '{folder.path / folder.files[position]}' is {image.shape[1]} x "
                    f"{image.shape[0]} pixels, '{folder.path / folder.files[0]}' is {shape[1]} x {shape[0]}. "
                    "Set data.image_size to the side you want: all are then scaled to it."
                )
            images[position] = image

        with ThreadPoolExecutor(self.config.threads) as pool:
            for _ in pool.map(decode_into, range(len(images))):  # raises the first error, cancels the rest
                pass
        return torch.from_numpy(images)

    def _one(self, folder: Folder, file: str) -> np.ndarray:
        config, size = self.config, self.config.image_size
        image = decode(folder.path / file, "data.root", background=config.background)
        if size is None:
            return image
        pixels = torch.from_numpy(image)[None]
        return resize(pixels, (size, size), config.resize, background=config.background)[0].numpy()


def _paths(folder: Folder) -> list[Path]:
    return [folder.path / file for file in folder.files]
