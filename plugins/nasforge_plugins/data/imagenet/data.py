"""ImageNet read from disk by loader processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import NoReturn

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from nasforge.component import Context
from nasforge.data import DataModule, Split
from nasforge.errors import DataError
from nasforge.images import Preprocessing
from nasforge.images.broken import LEAVE_OUT, LEFT_OUT, find_broken, leave_out, list_broken
from nasforge.images.duplicates import warn_of_shared
from nasforge.images.files import Folder, compare_classes, list_folder
from nasforge.images.splits import Splits, limited
from nasforge.seeding import derive_seed
from nasforge.space import Task
from nasforge_plugins.data.imagenet.config import ImagenetConfig
from nasforge_plugins.data.imagenet.photos import Photos, collate, training_transform
from nasforge_plugins.data.imagenet.readable import known_broken

__all__ = ["Imagenet"]

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
        return max(1, self.config.workers)

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

    def expected_task(self) -> Task | None:
        """Count the folders of the training images; None if they are not there."""
        train = self.config.root / "train"
        folders = train.iterdir() if train.is_dir() else ()
        classes = sum(folder.is_dir() and not folder.name.startswith(".") for folder in folders)
        return Task(3, self.config.image_size, classes) if classes else None

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
        positions = self.split_indices(split)
        if augment:
            generator = self._splits.generator(split, epoch)
            positions = positions[torch.randperm(len(positions), generator=generator)]
        return self._read(split, positions, bounds, epoch, augment)

    def _refuse_broken(self, first: str) -> NoReturn:
        warnings.warn(f"{first} All images are read now, to list those that are broken.", stacklevel=3)
        self.verify()
        raise DataError(first)  # it could be read the second time, or became unreadable during the run

    def _share(self, split: Split) -> float:
        return 1.0 if split in ("full", "test") else self.config.sample_share

    def _read(
        self, split: Split, positions: Tensor, bounds: range, epoch: int, augment: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:
        config, runtime = self.config, self.ctx.runtime
        folder = self._test if split == "test" else self._train
        transform = training_transform(config) if augment else None
        seed = derive_seed(self.ctx.seed, "data", split, epoch, "image")
        loader = DataLoader(
            Photos(folder.path, folder.files, folder.labels, self.preprocessing, transform, seed),
            batch_sampler=[
                positions[start : min(start + bounds.step, bounds.stop)].tolist() for start in bounds
            ],
            num_workers=config.workers,
            collate_fn=collate,
            pin_memory=runtime.device.type == "cuda",
            # Without it, making the loader would draw a number from the run's global generator.
            generator=torch.Generator().manual_seed(0),
        )
        for batch in loader:
            if isinstance(batch, str):
                self._refuse_broken(batch)
            images, labels = batch
            pixels = images.to(runtime.device, non_blocking=True).permute(0, 2, 3, 1)
            yield (
                runtime.prepare_images(self._normalize(pixels)),
                labels.to(runtime.device, non_blocking=True),
            )
