"""Batches of a share of the images, ready for the networks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any

from torch import Tensor

from nasforge.data import DataModule, Split
from nasforge.runtime import Runtime

__all__ = ["Batch", "Batches"]

Batch = tuple[Tensor, Tensor]
"""Images ``(B, C, S, S)`` and labels ``(B,)``."""


class Batches:
    """Reads the first part of every pass over a split; passes differ in their order.

    Args:
        data: The data module.
        runtime: Prepares the images.
        ratio: Share of a pass's batches that is used.
        extra: Use one batch more where that share is a whole number, and there is one more.
    """

    def __init__(self, data: DataModule[Any], runtime: Runtime, ratio: float, extra: bool = False) -> None:
        self._data, self._runtime, self._ratio, self._extra = data, runtime, ratio, extra

    def count(self, split: Split) -> int:
        """Return how many batches are used of a pass over a split."""
        whole = self._data.num_batches(split)
        share = whole * self._ratio
        return min(math.floor(share) + 1, whole) if self._extra else math.ceil(share)

    def read(self, split: Split, passes: int = 0, *, augment: bool = True) -> Iterable[Batch]:
        """Return the batches of a pass, one by one.

        Args:
            split: The split that is read.
            passes: Number of the pass, which decides its order.
            augment: False reads in stored order, without augmentation.
        """
        return self._prepared(self._data.batches(split, epoch=passes, augment=augment), split)

    def read_to_train(self, split: Split, passes: int = 0) -> Iterable[Batch]:
        """Return of the batches of a pass what this process trains on; see `read`."""
        shards = self._runtime.shards
        if shards.count == 1:
            return self.read(split, passes)
        return self._prepared(self._data.shard_batches(split, shards, epoch=passes), split)

    def _prepared(self, batches: Iterable[Batch], split: Split) -> Iterable[Batch]:
        pairs = islice(batches, self.count(split))
        return ((self._runtime.prepare_images(images), labels) for images, labels in pairs)
