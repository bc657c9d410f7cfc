"""Where images come from, by what they are for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from nasforge.component import C, Component
from nasforge.errors import AccessError
from nasforge.space import Task

if TYPE_CHECKING:
    from torch import Tensor

    from nasforge.images.preprocessing import Preprocessing
    from nasforge.runtime.shards import Shards

__all__ = ["DataModule", "Split", "reading_only", "refuse_reading"]

Split = Literal["weights", "arch", "select", "full", "test", "holdout"]

_under_way: ContextVar[tuple[str, frozenset[Split]] | None] = ContextVar("_under_way", default=None)
"""Stage that runs now, and the splits that may be read in it by any data module."""


@contextmanager
def reading_only(stage: str, splits: frozenset[Split]) -> Iterator[None]:
    """Limit all data modules to some splits until exit, including those that a component makes itself.

    A stage within a stage, such as a run that a searcher starts, has the splits that both may read.

    Args:
        stage: Name of the stage, for errors.
        splits: Splits that may be read.
    """
    outer = _under_way.get()
    token = _under_way.set((stage, splits if outer is None else splits & outer[1]))
    try:
        yield
    finally:
        _under_way.reset(token)


def refuse_reading(reader: str, split: Split, stage: str, splits: frozenset[Split]) -> NoReturn:
    """Refuse access to a split.

    Args:
        reader: Name of the component in the error, such as ``"searcher 'my-searcher'"``.
        split: The split.
        stage: Name of the stage.
        splits: Splits that may be read in it.

    Raises:
        AccessError: Always.
    """
    allowed = ", ".join(sorted(splits)) or "none"
    raise AccessError(
        f"{reader}: asked for the {split!r} images in the {stage} stage, which may read: {allowed}. "
        "The test images are for the test stage, and the export after it."
    )


class DataModule(Component[C], ABC):
    """Images and labels, divided by role.

    ``weights`` trains the weights of a supernet or candidate, ``arch`` trains or scores architectures,
    ``select`` (may be empty) picks among candidates, ``full`` is all three together for the final training,
    ``test`` is read by the test stage, and by the export after it. ``holdout`` decides when the final
    training ends; data without it need not name it. ``weights``, ``arch``, ``select``, ``holdout`` and
    ``test`` are disjoint.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Make reading in every subclass refuse splits that the stage does not have."""
        super().__init_subclass__(**options)
        for name in {"batches", "shard_batches", "class_counts"} & vars(cls).keys():
            setattr(cls, name, _within_stage(getattr(cls, name)))

    @property
    @abstractmethod
    def task(self) -> Task:
        """Input and output sizes; known after `setup`."""

    def expected_task(self) -> Task | None:
        """Return input and output sizes if the options tell them; None, the default, if images must be read.

        Called without `setup`, to judge limits on networks before anything runs.
        """
        return None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label; known after `setup`. Default: their numbers."""
        return tuple(str(label) for label in range(self.task.num_classes))

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Preparation of an image file for the network, as a plain pass does it; known after `setup`.

        It is stored beside the trained weights, so that other programs can use them. None, the default, if
        the images do not come from files: nothing can then be predicted for files.
        """
        return None

    @abstractmethod
    def sizes(self) -> Mapping[Split, int]:
        """Number of images per split; 0 for a split this data does not have. Known after `setup`."""

    @abstractmethod
    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Iterate once over a split.

        Order and augmentation are a pure function of (seed, split, epoch): there is nothing to save.

        Args:
            split: The role.
            epoch: Which pass this is; each has its own order.
            augment: True for a training pass: shuffled and augmented. False: in stored order, plain.
            batch_size: Images per batch; None takes the data's own option.

        Returns:
            Pairs of normalised float images ``(B, C, S, S)`` and int64 labels ``(B,)``, on the run's device.

        Raises:
            DataError: The batch is larger than the split, the split is empty, or files cannot be read.
        """

    def shard_batches(
        self, split: Split, shards: Shards, *, epoch: int = 0, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Iterate over a split for training in shards: of every batch, the images of this process.

        All shards of a batch have the same number of images: a last batch that is not full loses the few
        images that are over, and is left out if one image per shard remains. Default: cut what `batches`
        gives. Data whose images are decoded late overrides it, to decode only those of this process.

        Args:
            split: The role.
            shards: Tells which images of a batch belong to this process.
            epoch: Which pass this is.
            batch_size: Images per whole batch; None takes the data's own option.

        Raises:
            DataError: As `batches`, or the batch size does not divide by the number of shards.
        """
        each = 0
        for images, labels in self.batches(split, epoch=epoch, batch_size=batch_size):
            if not each:
                shards.check(len(labels), f"data, split {split!r}")
                each = len(labels) // shards.count
            left = len(labels) // shards.count
            if left and (left > 1 or each == 1):
                rows = shards.rows(len(labels))
                yield images[rows], labels[rows]

    def verify(self) -> None:
        """Read every image once. Default: nothing, for data that `setup` has read; called after it.

        Raises:
            DataError: Images cannot be read. All are listed.
        """

    def class_counts(self, split: Split) -> tuple[int, ...]:
        """Return the number of images per class, by label. Default: count the labels of a plain pass.

        Args:
            split: The role.
        """
        counts = [0] * self.task.num_classes
        for _, labels in self.batches(split, augment=False):
            for label in labels.tolist():
                counts[label] += 1
        return tuple(counts)

    @abstractmethod
    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return how many batches one pass over ``split`` has."""

    def _check_access(self, split: Split) -> None:
        """Refuse a split that the module's context or the stage under way does not have."""
        context = getattr(self, "ctx", None)
        own = None if context is None or context.splits is None else (context.stage, context.splits)
        for limit in (own, _under_way.get()):
            if limit is not None and split not in limit[1]:
                refuse_reading(type(self).__name__, split, *limit)


def _within_stage(read: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a reading method with the check of access."""

    @wraps(read)
    def guarded(self: DataModule[Any], split: Split, *more: Any, **options: Any) -> Any:
        self._check_access(split)
        return read(self, split, *more, **options)

    return guarded
