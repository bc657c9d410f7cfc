"""A copy of a run on the meta device: its networks and images have shapes and no values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from nasforge.constraints import Constraints
from nasforge.data import DataModule, Split
from nasforge.images.preprocessing import Preprocessing
from nasforge.observer import Observers
from nasforge.runtime import Runtime
from nasforge.runtime.meta import META
from nasforge.runtime.shards import Shards
from nasforge.space import SearchSpace, Task
from nasforge.stages.runner import Run

__all__ = ["BlankImages", "BlankRun"]

MANY = 1_000_000
"""Images of every split, where the images of a recipe have not been read."""

PASS = 100
"""Batches of a pass."""


class BlankImages(DataModule[Any]):
    """Batches without values, for the sizes of a data module.

    Args:
        data: Its options hold. Images are never read.
        task: Input and output sizes.
        runtime: The layout of batches.
        ready: Whether ``data`` is set up; otherwise, every split has a million images.

    Attributes:
        asked: Size of the last training batch that was asked for.
        instead: Sizes to give, by the size that is asked for.
        share: Part of every training batch that is given.
        given: Number of images of the last batch of each split.
    """

    def __init__(self, data: DataModule[Any], task: Task, runtime: Runtime, ready: bool) -> None:
        super().__init__(data.config)
        self._task, self._own = task, int(getattr(data.config, "batch_size", 1))
        self._source = data if ready else None
        self._layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
        self.asked, self.instead, self.given = 0, dict[int, int](), dict[Split, int]()
        self.share = Fraction(1)

    @property
    def task(self) -> Task:
        """Input and output sizes."""
        return self._task

    @property
    def preprocessing(self) -> Preprocessing | None:
        """That of the data module, or one of any normalisation: it does not change sizes."""
        if self._source is not None:
            return self._source.preprocessing
        count, side = self._task.in_channels, self._task.image_size
        kinds: dict[int, Any] = {1: "gray", 3: "rgb"}
        return Preprocessing(
            size=(side, side),
            channels=kinds.get(count, "other"),
            mean=(0.5,) * count,
            deviation=(0.5,) * count,
            background=(0,) * count,
        )

    def sizes(self) -> Mapping[Split, int]:
        """Number of images per split."""
        if self._source is not None:
            return self._source.sizes()
        splits: tuple[Split, ...] = ("weights", "arch", "select", "full", "test", "holdout")
        return dict.fromkeys(splits, MANY)

    def class_counts(self, split: Split) -> tuple[int, ...]:
        """Return as many images for every class."""
        return (1,) * self._task.num_classes

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return a number of batches."""
        return PASS

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate over batches on the meta device; see `DataModule.batches`."""
        size = batch_size or self._own
        for _ in range(PASS):
            count = self.instead.get(size, size)
            if augment:
                count = int(count * self.share)
                self.asked, self.given[split] = size, count
            shape = (count, self._task.in_channels, self._task.image_size, self._task.image_size)
            images = torch.empty(shape, device=META, memory_format=self._layout)
            yield images, torch.empty(count, dtype=torch.long, device=META)


class BlankRun(Run):
    """A run on the meta device, with the space and the limits of another one.

    Args:
        real: The other run.
        images: Its images without values; None for a recipe without images.
        shards: Parts of every training batch.
    """

    def __init__(self, real: Run, images: BlankImages | None, shards: int) -> None:
        runtime = replace(real.runtime, device=META, compile=False, shards=Shards(shards))
        super().__init__(real.recipe, real.folder, runtime, Observers(()))
        self._real, self._images = real, images

    @property
    def space(self) -> SearchSpace[Any]:
        """The space of the other run."""
        return self._real.space

    @property
    def data(self) -> DataModule[Any]:
        """The images without values."""
        assert self._images is not None, "the recipe check requires a [data] table"
        return self._images

    @property
    def task(self) -> Task:
        """Input and output sizes."""
        return self._real.task if self._images is None else self._images.task

    @property
    def constraints(self) -> Constraints:
        """The limits of the other run, whose networks compute."""
        return self._real.constraints
