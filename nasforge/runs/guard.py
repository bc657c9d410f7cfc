"""A guarded view of the images: components read only the splits that their stage allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nasforge.data import DataModule, Split, refuse_reading
from nasforge.runs.scope import Scope
from nasforge.space import Task

if TYPE_CHECKING:
    from torch import Tensor

    from nasforge.images.preprocessing import Preprocessing
    from nasforge.runtime.shards import Shards

__all__ = ["GuardedData"]


class GuardedData(DataModule[Any]):
    """A view of a data module for one reader in one stage.

    Attributes:
        batch_sizes: Batch size that each split was last read with; None is the data's own.

    Args:
        data: The images, already set up.
        scope: Splits that may be read, and the stage.
        reader: Name of the component in errors and in the access log, such as ``"searcher 'NAME'"``.
        log: Called with a split at its first access.
    """

    def __init__(
        self, data: DataModule[Any], scope: Scope, reader: str, log: Callable[[Split], None] = lambda _: None
    ) -> None:
        super().__init__(data.config)
        self._data, self._scope, self._reader, self._log = data, scope, reader, log
        self._seen: set[Split] = set()
        self.batch_sizes: dict[Split, int | None] = {}

    @property
    def task(self) -> Task:
        """Input and output sizes."""
        return self._data.task

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self._data.class_names

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Preparation of an image file."""
        return self._data.preprocessing

    def sizes(self) -> Mapping[Split, int]:
        """Number of images per split."""
        return self._data.sizes()

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return how many batches one pass over ``split`` has."""
        return self._data.num_batches(split, batch_size=batch_size)

    def class_counts(self, split: Split) -> tuple[int, ...]:
        """Return the number of images per class, if this stage may read the split.

        Raises:
            AccessError: It may not.
        """
        return self._data.class_counts(split)

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Iterate once over a split, if this stage may read it.

        Raises:
            AccessError: It may not.
        """
        self.batch_sizes[split] = batch_size
        return self._data.batches(split, epoch=epoch, augment=augment, batch_size=batch_size)

    def shard_batches(
        self, split: Split, shards: Shards, *, epoch: int = 0, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Iterate once over a split for training in shards, if this stage may read it.

        Raises:
            AccessError: It may not.
        """
        self.batch_sizes[split] = batch_size
        return self._data.shard_batches(split, shards, epoch=epoch, batch_size=batch_size)

    def _check_access(self, split: Split) -> None:
        """Log the first access to a split, or refuse it."""
        scope = self._scope
        if split not in scope.reads:
            refuse_reading(self._reader, split, scope.stage, scope.reads)
        if split not in self._seen:
            self._seen.add(split)
            self._log(split)
