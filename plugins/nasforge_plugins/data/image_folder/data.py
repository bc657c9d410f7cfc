"""Images in folders named after their classes, decoded once into memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from nasforge.errors import DataError, ImageError
from nasforge.images import ImageSet, InMemoryImages, decode, resize
from nasforge.images.broken import LEAVE_OUT, LEFT_OUT, list_broken
from nasforge.images.duplicates import warn_of_shared
from nasforge.images.files import Folder, compare_classes, list_folder
from nasforge.images.splits import balanced_order
from nasforge.space import Task
from nasforge_plugins.data.image_folder import cache
from nasforge_plugins.data.image_folder.config import ImageFolderConfig

__all__ = ["ImageFolder"]


class ImageFolder(InMemoryImages[ImageFolderConfig]):
    """Images below ``root/train/<class>/`` and ``root/test/<class>/``."""

    def expected_task(self) -> Task | None:
        """Count the folders of the classes; without `image_size`, the first image has the size of all.

        Returns:
            None if the folder cannot be used; reading the images says why.
        """
        config = self.config
        try:
            train = list_folder(config.root / "train", "data.root")
            side = config.image_size or len(self._one(train.path / train.files[0]))
        except (DataError, OSError):
            return None
        return Task(1 if config.channels == "gray" else 3, side, len(train.classes))

    def load(self) -> ImageSet:
        """List, decode and scale the images, or take them from the cache.

        Raises:
            DataError: A folder is missing or empty, the classes of the two folders differ, images cannot be
                read (all are listed), or images differ in size and no size is set.
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
            (images, labels, kept), (test_images, test_labels, test) = self._read([train, test])
            warn_of_shared(_paths(kept), _paths(test), "data.root")
            return ImageSet(images, labels, test_images, test_labels, train.classes)
        if not share:
            raise DataError(
                f"data.root: there is no folder '{root / 'test'}'. Make one with the same classes as 'train' "
                "or set data.test_share, for example 0.2, to take the test images from 'train'."
            )
        ((images, labels, kept),) = self._read([train])
        order = balanced_order(labels, seed=0)
        count = max(1, round(len(order) * share))
        test_order, train_order = order[:count].sort().values, order[count:].sort().values
        paths = _paths(kept)
        chosen, held_out = train_order.tolist(), test_order.tolist()
        warn_of_shared([paths[i] for i in chosen], [paths[i] for i in held_out], "data.root")
        return ImageSet(
            images[train_order], labels[train_order], images[test_order], labels[test_order], train.classes
        )

    def _read(self, folders: list[Folder]) -> list[tuple[Tensor, Tensor, Folder]]:
        """Return images, labels and files of each folder, without broken images if they are to be skipped."""
        found = [(folder, *self._images(folder)) for folder in folders]
        broken = {folder.path / file: why for folder, _, no in found for file, why in no.items()}
        if broken:
            total = sum(len(folder.files) for folder in folders)
            if not self.config.skip_broken:
                raise DataError(list_broken("data.root", broken, total, LEAVE_OUT))
            warnings.warn(list_broken("data.root", broken, total, LEFT_OUT), stacklevel=2)
        kept = [(images, folder.without(no)) for folder, images, no in found]
        return [(images, torch.tensor(folder.labels), folder) for images, folder in kept]

    def _images(self, folder: Folder) -> tuple[Tensor, dict[str, str]]:
        """Return the images that can be read, and why the other files cannot."""
        config = self.config
        if not config.cache:
            return self._decoded(folder)
        path = cache.cache_path(folder, config)
        if (known := cache.load(path, len(folder.files))) is not None:
            return known
        images, broken = self._decoded(folder)
        if config.skip_broken or not broken:
            cache.store(path, images, broken)
        return images, broken

    def _decoded(self, folder: Folder) -> tuple[Tensor, dict[str, str]]:
        images, first, count = torch.empty(0, 0, 0, 0, dtype=torch.uint8), "", 0
        broken: dict[str, str] = {}
        for file, image in self._each(folder):
            if isinstance(image, str):
                broken[file] = image
                continue
            if not count:
                images, first = image.new_empty(len(folder.files), *image.shape), file
            if image.shape != images.shape[1:]:
                self._refuse_sizes(folder.path / file, image, folder.path / first, images[0])
            images[count] = image
            count += 1
        if count and images.shape[1] != images.shape[2]:
            raise DataError(
                f"data.root: image '{folder.path / first}' is {images.shape[2]} x {images.shape[1]} pixels, "
                "networks take squares. Set data.image_size to the side you want: the middle square is cut "
                "out and scaled to it (or set data.resize)."
            )
        return images[:count], broken

    def _each(self, folder: Folder) -> Iterator[tuple[str, Tensor | str]]:
        """Yield every file with its image ``(H, W, C)``, or with the reason why it cannot be read."""

        def read(file: str) -> Tensor | str:
            try:
                return self._one(folder.path / file)
            except ImageError as error:
                return error.reason

        with ThreadPoolExecutor(self.config.threads) as pool:
            yield from zip(folder.files, pool.map(read, folder.files), strict=True)

    def _one(self, path: Path) -> Tensor:
        config, size = self.config, self.config.image_size
        colour = self.background(1 if config.channels == "gray" else 3)
        image = torch.from_numpy(decode(path, "data.root", config.channels, colour))
        if size is None:
            return image
        return resize(image[None], (size, size), config.resize, background=colour)[0]

    def _refuse_sizes(self, path: Path, image: Tensor, other: Path, known: Tensor) -> None:
        raise DataError(
            f"data.root: image '{path}' is {image.shape[1]} x {image.shape[0]} pixels, '{other}' is "
            f"{known.shape[1]} x {known.shape[0]}. Set data.image_size to the side you want: all are then "
            "scaled to it."
        )


def _paths(folder: Folder) -> list[Path]:
    return [folder.path / file for file in folder.files]
