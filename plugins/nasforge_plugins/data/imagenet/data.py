"""ImageNet read from disk by loader processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from typing import NoReturn

import torch
from torch import Tensor

from nasforge.component import Context
from nasforge.data import DataModule, Split
from nasforge.errors import DataError
from nasforge.images import Preprocessing
from nasforge.images.broken import LEAVE_OUT, LEFT_OUT, find_broken, leave_out, list_broken
from nasforge.images.duplicates import warn_of_shared
from nasforge.images.files import Folder, compare_classes, list_folder
from nasforge.images.splits import Splits, limited
from nasforge.runtime.distributed import find_world
from nasforge.runtime.shards import Shards
from nasforge.seeding import derive_seed
from nasforge.space import Task
from nasforge_plugins.data.imagenet.config import ImagenetConfig
from nasforge_plugins.data.imagenet.jitter import jitter
from nasforge_plugins.data.imagenet.loading import PhotoLoader
from nasforge_plugins.data.imagenet.photos import PhotoAugmentation, Photos
from nasforge_plugins.data.imagenet.readable import known_broken
from nasforge_plugins.data.imagenet.resized import ResizedPhotos
from nasforge_plugins.data.imagenet.subsets import draw_subset

__all__ = ["Imagenet"]

CLASSES = 1000
"""Classes of the published images."""

FEW = 50_000
"""Up to this number of training images, every run looks for test images among them, which opens all files of
equal size: too many for the whole of ImageNet. `nasforge check --deep` always looks."""


class Imagenet(DataModule[ImagenetConfig]):
    """Photos below ``root/train/<class>/`` and ``root/val/<class>/``, decoded when they are needed.

    Every image of a pass is augmented from a seed of its own, so the batches do not depend on the number of
    loader processes.
    """

    def setup(self, ctx: Context) -> None:
        """List the files and divide them by role; images are opened only to find broken ones to skip.

        Raises:
            DataError: A folder is missing or empty, or the classes of the two folders differ.
        """
        super().setup(ctx)
        config = self.config
        self._train = list_folder(config.root / "train", "data.root")
        self._test = list_folder(config.root / "val", "data.root")
        compare_classes(self._train, self._test, "data.root")
        if config.skip_broken:
            self._train, self._test = map(self._without_broken, (self._train, self._test))
        if len(self._train.files) <= FEW:
            self._warn_of_shared()
        labels = torch.tensor(self._train.labels)
        self._kept_train = limited(labels, config.limit_train)
        self._kept_test = limited(torch.tensor(self._test.labels), config.limit_test)
        self._splits = Splits(config, labels[self._kept_train], len(self._kept_test), ctx.seed)
        if config.subset != "all":
            full = self._splits.indices("full")
            drawn = draw_subset(config.subset, labels[self._kept_train][full], ctx.seed)
            self._splits.replace({split: full[positions] for split, positions in drawn.items()})
        self._loaders: dict[Split, PhotoLoader] = {}
        self._resized: ResizedPhotos | None = None
        self._normalize = self.preprocessing.normalization(ctx.runtime.device)

    def verify(self) -> None:
        """Decode every image; those that ``skip_broken`` left out are not among them.

        Training images that are test images too are found for sets of any size.

        Raises:
            DataError: Images cannot be read. All are listed.
        """
        files = [folder.path / file for folder in (self._train, self._test) for file in folder.files]
        if broken := find_broken(files, self._threads):
            raise DataError(list_broken("data.root", broken, len(files), LEAVE_OUT))
        if len(self._train.files) > FEW:
            self._warn_of_shared()

    def _warn_of_shared(self) -> None:
        train, test = ([folder.path / file for file in folder.files] for folder in (self._train, self._test))
        warn_of_shared(train, test, "data.root")

    @property
    def _threads(self) -> int:
        return max(1, self._workers)

    @property
    def _workers(self) -> int:
        if self.config.workers is not None:
            return self.config.workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _, processes = find_world() or (0, 1)
        return max(1, cores // processes)

    def _without_broken(self, folder: Folder) -> Folder:
        broken = known_broken(folder, self._threads)
        if not broken:
            return folder
        paths = {folder.path / file: why for file, why in broken.items()}
        warnings.warn(list_broken("data.root", paths, len(folder.files), LEFT_OUT), stacklevel=3)
        return leave_out(folder, broken, "data.root")

    @property
    def task(self) -> Task:
        """RGB images of ``image_size``, one class per folder."""
        return Task(3, self.config.image_size, len(self.class_names))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the folders of the training images, sorted."""
        return self._train.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """Preparation of a plain image: by default, the middle of the photo."""
        config = self.config
        return Preprocessing(
            size=(config.image_size, config.image_size),
            channels="rgb",
            mean=config.mean,
            deviation=config.std,
            resize=config.resize,
            shorter_side=config.resize_size if config.resize == "crop" else None,
            background=config.background,
        )

    def expected_task(self) -> Task:
        """Count the folders of the training images; the published ones are 1,000 classes."""
        train = self.config.root / "train"
        folders = train.iterdir() if train.is_dir() else ()
        classes = sum(folder.is_dir() and not folder.name.startswith(".") for folder in folders)
        return Task(3, self.config.image_size, classes or CLASSES)

    def sizes(self) -> Mapping[Split, int]:
        """Return the number of images per split; a pass may read fewer, see ``sample_share``."""
        return self._splits.sizes()

    def split_indices(self, split: Split) -> Tensor:
        """Return which images a split has ``(N,)``: positions in the sorted list of files."""
        return (self._kept_test if split == "test" else self._kept_train)[self._splits.indices(split)]

    def class_counts(self, split: Split) -> tuple[int, ...]:
        """Return the number of images per class, by label; no image is read."""
        labels = torch.as_tensor((self._test if split == "test" else self._train).labels)
        chosen = labels[self.split_indices(split)]
        return tuple(torch.bincount(chosen, minlength=self.task.num_classes).tolist())

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return how many batches a training pass has; for split ``test``, any pass."""
        training = split != "test"
        return len(self._splits.bounds(split, batch_size, training=training, share=self._share(split)))

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once over a split; see `DataModule.batches`.

        A plain pass reads the whole split in stored order, a training pass the share ``sample_share``.
        """
        share = self._share(split) if augment else 1.0
        bounds = self._splits.bounds(split, batch_size, training=augment, share=share)
        positions = self._shuffled(split, epoch) if augment else self.split_indices(split)
        chosen = [positions[start : min(start + bounds.step, bounds.stop)].tolist() for start in bounds]
        return self._read(split, chosen, epoch, augment)

    def shard_batches(
        self, split: Split, shards: Shards, *, epoch: int = 0, batch_size: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once over the photos of this process, which are all that it decodes."""
        share = self._share(split)
        bounds = self._splits.bounds(split, batch_size, training=True, share=share, shards=shards)
        positions = self._shuffled(split, epoch)
        whole = (positions[start : min(start + bounds.step, bounds.stop)] for start in bounds)
        return self._read(split, [batch[shards.rows(len(batch))].tolist() for batch in whole], epoch, True)

    def _shuffled(self, split: Split, epoch: int) -> Tensor:
        """Return the photos of a split in the order of a training pass."""
        positions = self.split_indices(split)
        return positions[torch.randperm(len(positions), generator=self._splits.generator(split, epoch))]

    def _refuse_broken(self, first: str) -> NoReturn:
        warnings.warn(f"{first} All images are read now, to list those that are broken.", stacklevel=3)
        self.verify()
        raise DataError(first)  # it could be read the second time, or became unreadable during the run

    def _share(self, split: Split) -> float:
        return 1.0 if split in ("full", "test") else self.config.sample_share

    def _read(
        self, split: Split, batches: list[list[int]], epoch: int, augment: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        runtime = self.ctx.runtime
        seed = derive_seed(self.ctx.seed, "data", split, epoch, "image") if augment else None
        for batch in self._loader(split, augment).read([[(p, seed) for p in batch] for batch in batches]):
            if isinstance(batch, str):
                self._refuse_broken(batch)
            images, labels, draws = batch
            images = images.to(runtime.device, non_blocking=True)
            if draws is not None:
                images = jitter(images, draws)
            yield (
                runtime.prepare_images(self._normalize(images.permute(0, 2, 3, 1))),
                labels.to(runtime.device, non_blocking=True),
            )

    def _loader(self, split: Split, augment: bool) -> PhotoLoader:
        """Return the loader of a split; training passes may need resized photos first."""
        on_cpu = self.ctx.runtime.device.type == "cpu"
        if augment and split != "test" and self._resized is None and self.config.cached_side is not None:
            self._resized = ResizedPhotos(self._train, self.config.cached_side, self.preprocessing)
            self._loaders.clear()
        if self._resized is not None and augment and split != "test":
            before = len(self._resized)
            self._resized.make(self.split_indices(split).tolist(), self._threads)
            if len(self._resized) > before:
                self._loaders.clear()  # their processes have a copy of the shorter list
        if split not in self._loaders:
            folder = self._test if split == "test" else self._train
            resized = None if split == "test" else self._resized
            photos = Photos(folder, self.preprocessing, PhotoAugmentation(self.config, on_cpu), resized)
            pin = self.ctx.runtime.device.type == "cuda"
            self._loaders[split] = PhotoLoader(photos, self._workers, pin)
        return self._loaders[split]
