"""Images that live in memory as bytes, and augmentation of whole batches as tensor operations.

No loader processes, no Python per image: a batch is gathered, cropped, mirrored and normalised where the
networks run. A new dataset of this kind subclasses `InMemoryImages` and implements ``load`` alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from nasforge.component import Context
from nasforge.data import DataModule, Split
from nasforge.errors import DataError
from nasforge.images.config import ImageConfig
from nasforge.images.pixels import channel_statistics, crop_and_flip, outside
from nasforge.images.preprocessing import Preprocessing
from nasforge.images.resizing import resize
from nasforge.images.splits import Splits, limited
from nasforge.runtime import send
from nasforge.runtime.shards import Shards
from nasforge.space import Task

__all__ = ["ImageSet", "InMemoryImages"]

C = TypeVar("C", bound=ImageConfig)

SHOWN = 10
"""Names of classes in one message."""


@dataclass(frozen=True)
class ImageSet:
    """A whole data set on the CPU.

    Attributes:
        train_images: uint8 ``(N, H, W, C)``, channels last as decoders deliver them.
        train_labels: Class of every image ``(N,)``, any integer type, from 0.
        test_images: uint8 ``(M, H, W, C)``.
        test_labels: ``(M,)``.
        classes: Names of the classes; the label is the position.
        mean: Published mean of every channel, for values from 0 to 1; None: computed.
        std: Published standard deviation of every channel; None: computed.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def check(self, where: str) -> None:
        """Check types, shapes and labels.

        Args:
            where: Source of the images, for the message.

        Raises:
            DataError: Something does not fit; says what.
        """
        if len(self.classes) < 2:
            raise DataError(f"{where}: has {len(self.classes)} class(es). Classification needs two or more.")
        if len(set(self.classes)) < len(self.classes):
            twice = sorted(name for name, count in Counter(self.classes).items() if count > 1)
            raise DataError(f"{where}: class name {_listed(twice)} is there twice. Give every class its own.")
        for part, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.dtype != torch.uint8 or images.dim() != 4:
                raise DataError(
                    f"{where}: {part} images are {_kind(images)}. Store bytes: uint8, N x height x width x "
                    "channels."
                )
            if labels.dim() != 1 or labels.is_floating_point() or len(labels) != len(images):
                raise DataError(
                    f"{where}: {part} labels are {_kind(labels)} for {len(images)} images. Store one integer "
                    "per image."
                )
            if not len(images):
                raise DataError(f"{where}: has no {part} image.")
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= len(self.classes):
                raise DataError(
                    f"{where}: {part} labels go from {low} to {high}, but there are {len(self.classes)} "
                    f"classes. Number them from 0 to {len(self.classes) - 1}."
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            shapes = [" x ".join(map(str, i.shape[1:])) for i in (self.train_images, self.test_images)]
            raise DataError(
                f"{where}: training images are {shapes[0]}, test images {shapes[1]}. Store one shape."
            )
        counts = torch.bincount(self.train_labels.long(), minlength=len(self.classes))
        if empty := [name for name, count in zip(self.classes, counts.tolist(), strict=True) if not count]:
            raise DataError(
                f"{where}: no training image of class {_listed(empty)}. Number the labels "
                "from 0 without gaps, or remove the class."
            )


def _listed(names: Sequence[str]) -> str:
    """Quote the first names of a list that may hold millions."""
    rest = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + rest


class InMemoryImages(DataModule[C]):
    """Data that fits into memory: decoded once, kept as bytes on the run's device.

    Subclasses write `load`. Everything random in a pass is drawn at its start from one generator, image by
    image of the pass, so order and augmentation do not depend on the batch size or the device.
    """

    _in_setup = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Make `load`, which gives test images too, refuse calls from outside `setup`."""
        super().__init_subclass__(**options)
        if "load" in vars(cls):
            cls.load = _for_setup(cls.load)  # type: ignore[method-assign]

    @abstractmethod
    def load(self) -> ImageSet:
        """Read the data set, using ``self.config``; called once per run by `setup`.

        Raises:
            DataError: Files are missing or unreadable.
        """

    def setup(self, ctx: Context) -> None:
        """Load the images, divide them by role, and move them to the run's device.

        Args:
            ctx: Seed and device of the run.

        Raises:
            DataError: The images cannot be read, are not square, or their statistics have another number of
                channels.
        """
        super().setup(ctx)
        config, where = self.config, type(self).__name__
        self._in_setup = True
        try:
            images = self.load()
        finally:
            self._in_setup = False
        images.check(where)
        images = self._resized(_limited(images, config))
        _, height, width, channels = images.train_images.shape
        if height != width:
            raise DataError(
                f"{where}: images are {height} x {width}, networks take squares. Set data.image_size to the "
                "side you want: the middle square is cut out and scaled to it (or set data.resize)."
            )
        self._task = Task(channels, height, len(images.classes))
        self._class_names = images.classes
        self._splits = Splits(config, images.train_labels, len(images.test_labels), ctx.seed)
        self._preprocessing = self._measured(images)
        device = ctx.runtime.device
        self._normalize = self._preprocessing.normalization(device)
        self._train = (images.train_images.to(device), images.train_labels.to(device))
        self._test = (images.test_images.to(device), images.test_labels.to(device))

    @property
    def task(self) -> Task:
        """Channels, side and number of classes of the loaded images."""
        return self._task

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the loaded images."""
        return self._class_names

    @property
    def preprocessing(self) -> Preprocessing:
        """Preparation of image files to what a plain pass gives."""
        return self._preprocessing

    @property
    def resident_bytes(self) -> int:
        """Bytes of all images and labels, which lie on the run's device."""
        return sum(tensor.nbytes for tensor in (*self._train, *self._test))

    def sizes(self) -> Mapping[Split, int]:
        """Return the number of images per split."""
        return self._splits.sizes()

    def split_indices(self, split: Split) -> Tensor:
        """Return which images a split has ``(N,)``: positions in the loaded training or test images."""
        return self._splits.indices(split)

    def class_counts(self, split: Split) -> tuple[int, ...]:
        """Return the number of images per class, by label."""
        labels = (self._test if split == "test" else self._train)[1]
        chosen = labels[self._splits.indices(split).to(labels.device)]
        return tuple(torch.bincount(chosen, minlength=self._task.num_classes).tolist())

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return how many batches a training pass has; for split ``test``, any pass."""
        return len(self._splits.bounds(split, batch_size, training=split != "test"))

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once over a split; see `DataModule.batches`."""
        bounds = self._splits.bounds(split, batch_size, training=augment)
        indices = self._splits.indices(split)
        if augment:
            return self._training(split, indices, bounds, self._splits.generator(split, epoch), None)
        return self._plain(split, indices.to(self._train[0].device), bounds)

    def shard_batches(
        self, split: Split, shards: Shards, *, epoch: int = 0, batch_size: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once over the images of this process; see `DataModule.shard_batches`."""
        bounds = self._splits.bounds(split, batch_size, training=True, shards=shards)
        indices = self._splits.indices(split)
        return self._training(split, indices, bounds, self._splits.generator(split, epoch), shards)

    def _plain(self, split: Split, indices: Tensor, bounds: range) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self._test if split == "test" else self._train
        for start in bounds:
            batch = indices[start : min(start + bounds.step, bounds.stop)]
            yield self._normalised(images.index_select(0, batch)), labels.index_select(0, batch)

    def _training(
        self, split: Split, indices: Tensor, bounds: range, generator: torch.Generator, shards: Shards | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self._test if split == "test" else self._train
        config, device, total = self.config, images.device, len(indices)
        side = self._task.image_size
        padding = side // 8 if config.padding is None else config.padding
        order = send(indices[torch.randperm(total, generator=generator)], device)
        corners = torch.randint(0, 2 * padding + 1, (2, total), generator=generator)
        mirrored = torch.rand(total, generator=generator) < 0.5
        centres = send(torch.randint(0, side, (2, total), generator=generator), device)
        if not config.flip:
            mirrored = torch.zeros_like(mirrored)
        for start in bounds:
            stop = min(start + bounds.step, bounds.stop)
            own = slice(0, stop - start) if shards is None else shards.rows(stop - start)
            now = slice(start + own.start, start + own.stop)
            chosen = order[now]
            pixels = images.index_select(0, chosen)  # copies whole images, where indexing copies bytes
            if padding or config.flip:
                pixels = crop_and_flip(pixels, padding, corners[:, now], mirrored[now])
            batch = self._normalised(pixels)
            if config.cutout:
                batch = batch * outside(centres[:, now], side, side, config.cutout)
            yield batch, labels.index_select(0, chosen)

    def _normalised(self, pixels: Tensor) -> Tensor:
        return self.ctx.runtime.prepare_images(self._normalize(pixels))

    def background(self, channels: int) -> tuple[int, ...]:
        """Return the option ``background`` for a number of channels; other than three get its brightness."""
        red, green, blue = self.config.background
        if channels == 3:
            return red, green, blue
        return (round(0.299 * red + 0.587 * green + 0.114 * blue),) * channels  # ITU-R BT.601

    def _resized(self, images: ImageSet) -> ImageSet:
        config, shape = self.config, images.train_images.shape[1:]
        if (size := config.image_size) is None or shape[:2] == (size, size):
            return images
        colour = self.background(shape[2])
        train, test = (
            resize(part, (size, size), config.resize, background=colour)
            for part in (images.train_images, images.test_images)
        )
        return replace(images, train_images=train, test_images=test)

    def _measured(self, images: ImageSet) -> Preprocessing:
        config, (height, width, channels) = self.config, images.train_images.shape[1:]
        mean, std = config.mean or images.mean, config.std or images.std
        if mean is None or std is None:
            found = channel_statistics(images.train_images)
            mean, std = mean or found[0], std or found[1]
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != channels:
                raise DataError(
                    f"data.{name}: has {len(values)} number(s), the images {channels} channel(s)."
                )
        return Preprocessing(
            size=(height, width),
            channels="rgb" if channels == 3 else "gray" if channels == 1 else "other",
            mean=mean,
            deviation=std,
            resize=config.resize,
            background=self.background(channels),
        )


def _for_setup(load: Callable[..., ImageSet]) -> Callable[..., ImageSet]:
    """Wrap `InMemoryImages.load`: calls from outside `setup` count as reading the test images."""

    @wraps(load)
    def guarded(self: InMemoryImages[Any]) -> ImageSet:
        if not self._in_setup:
            self._check_access("test")
        return load(self)

    return guarded


def _limited(images: ImageSet, config: ImageConfig) -> ImageSet:
    labels, test_labels = images.train_labels.long(), images.test_labels.long()
    if config.limit_train is None and config.limit_test is None:
        return replace(images, train_labels=labels, test_labels=test_labels)
    train, test = limited(labels, config.limit_train), limited(test_labels, config.limit_test)
    return replace(
        images,
        train_images=images.train_images[train],
        train_labels=labels[train],
        test_images=images.test_images[test],
        test_labels=test_labels[test],
    )


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
