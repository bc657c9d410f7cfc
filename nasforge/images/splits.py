"""Divide training images by role, without a list to store: a pure function of labels, options and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nasforge.data import Split
from nasforge.errors import DataError
from nasforge.images.config import SplitConfig
from nasforge.seeding import derive_seed

if TYPE_CHECKING:
    from nasforge.runtime.shards import Shards

__all__ = ["Splits", "balanced_order", "limited"]


def balanced_order(labels: Tensor, seed: int) -> Tensor:
    """Permute images so that every stretch of the permutation has the mix of classes of the whole.

    An image with rank ``r`` among the ``n`` shuffled images of its class goes to place ``(r + 0.5) / n``, so
    a stretch holds of every class its share, give or take one image.

    Args:
        labels: Class of every image ``(N,)``, int64.
        seed: The only source of randomness.

    Returns:
        Positions of the images ``(N,)``, int64.
    """
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    sorted_labels = labels[by_class]
    ranks = torch.arange(len(labels)) - starts[sorted_labels]
    places = torch.empty(len(labels), dtype=torch.float64)
    places[by_class] = (ranks.double() + 0.5) / counts[sorted_labels]
    # Classes of equal size share their places: the shuffled order decides between them.
    return shuffled[torch.argsort(places[shuffled], stable=True)]


def limited(labels: Tensor, limit: int | None) -> Tensor:
    """Choose a class-balanced subset, the same for every run, in stored order.

    Args:
        labels: Class of every image ``(N,)``, int64.
        limit: How many to choose; None, or more than there are: all.

    Returns:
        Positions of the images, ascending, int64.
    """
    if limit is None or limit >= len(labels):
        return torch.arange(len(labels))
    return balanced_order(labels, seed=0)[:limit].sort().values


class Splits:
    """The images of each role, and the order in which a pass reads them.

    Args:
        config: The shares.
        labels: Class of every training image ``(N,)``, int64, on the CPU.
        test_size: Number of test images.
        seed: The run's seed.
    """

    def __init__(self, config: SplitConfig, labels: Tensor, test_size: int, seed: int) -> None:
        self._config, self._seed = config, seed
        total = len(labels)
        arch, select = round(total * config.arch_share), round(total * config.select_share)
        holdout = round(total * config.holdout_share)
        weights = total - arch - select - holdout
        if config.split_by == "balanced":
            order = balanced_order(labels, derive_seed(seed, "data", "split"))
        else:
            order = torch.arange(total)
        # Within a split the stored order is kept: the permutation only decides who belongs to it.
        self._indices: dict[Split, Tensor] = {
            "weights": order[:weights].sort().values,
            "arch": order[weights : weights + arch].sort().values,
            "select": order[weights + arch : total - holdout].sort().values,
            "full": order[: total - holdout].sort().values,
            "test": torch.arange(test_size),
        }
        if holdout:
            self._indices["holdout"] = order[total - holdout :].sort().values

    def replace(self, indices: Mapping[Split, Tensor]) -> None:
        """Give splits other images.

        Args:
            indices: Positions in the training images by split, ascending. Splits must stay disjoint, apart
                from ``full``.
        """
        self._indices |= indices

    def sizes(self) -> dict[Split, int]:
        """Return the number of images per split."""
        return {split: len(indices) for split, indices in self._indices.items()}

    def indices(self, split: Split) -> Tensor:
        """Return the positions of a split's images, ascending: in the training images, or the test images."""
        return self._indices[split]

    def generator(self, split: Split, epoch: int) -> torch.Generator:
        """Return the generator, on the CPU, that decides order and augmentation of one pass."""
        return torch.Generator().manual_seed(derive_seed(self._seed, "data", split, epoch))

    def bounds(
        self,
        split: Split,
        batch_size: int | None,
        *,
        training: bool,
        share: float = 1.0,
        shards: Shards | None = None,
    ) -> range:
        """Return where the batches of one pass begin.

        A last batch that is not full is kept, as PyTorch's loaders do; but a *training* batch with a single
        image is left out (unless batches have one image anyway): batch norm cannot use it. Split ``test`` is
        never trained on and always whole.

        Args:
            split: The role.
            batch_size: Images per batch; None takes the option.
            training: Whether the pass trains on the batches. If not, one short batch is a valid pass.
            share: Share of the split's images that the pass reads.
            shards: The shards of a training pass, if there are several. All of a batch have the same number
                of images, so a last batch that is not full loses those that are over, and the rule for
                single images is one for each shard.

        Returns:
            A range whose step is the batch size and whose stop is where the last batch ends.

        Raises:
            DataError: The split is empty, a training batch is larger than the split, or does not divide into
                shards.
        """
        size = self._config.batch_size if batch_size is None else batch_size
        total = len(self._indices.get(split, ()))
        if not total:
            raise DataError(f"data, split {split!r}: has no image. {self._remedy(split)}")
        read = max(1, round(total * share))
        if size < 1:
            raise DataError(f"data, split {split!r}: a batch has at least 1 image, got {size}.")
        if training and size > read:
            raise DataError(
                f"data, split {split!r}: a batch of {size} images is larger than the split, which has "
                f"{read}. Set batch_size to {read} or less. {self._remedy(split)}"
            )
        if shards is not None:
            shards.check(size, f"data, split {split!r}")
        parts = 1 if shards is None else shards.count
        over = read % size % parts
        last = read % size - over
        single = training and split != "test" and size > parts == last
        return range(0, read - over - (last if single else 0), size)

    def _remedy(self, split: Split) -> str:
        config = self._config
        limit = config.limit_test if split == "test" else config.limit_train
        limited = (
            f" or raise data.{'limit_test' if split == 'test' else 'limit_train'} {limit}" if limit else ""
        )
        if split == "weights":
            return f"To enlarge the split, lower data.arch_share {config.arch_share:g}{limited}."
        if split == "arch":
            return f"To enlarge the split, raise data.arch_share {config.arch_share:g}{limited}."
        if split == "select":
            return f"To enlarge the split, raise data.select_share {config.select_share:g}{limited}."
        if split == "holdout":
            return f"To enlarge the split, raise data.holdout_share {config.holdout_share:g}{limited}."
        return f"To enlarge the split, add images{limited}."
