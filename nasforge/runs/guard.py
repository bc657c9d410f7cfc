"""Who may read which images, and when: the test split is locked until the test stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nasforge.component import Stage
from nasforge.data import DataModule, Split
from nasforge.errors import AccessError
from nasforge.space import Task

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ALLOWED", "GuardedData"]

ALLOWED: Mapping[Stage, frozenset[Split]] = {
    "search": frozenset({"weights", "arch", "select"}),
    "derive": frozenset(),
    "train": frozenset({"weights", "arch", "select", "full"}),
    "test": frozenset({"test"}),
}


class GuardedData(DataModule[Any]):
    """A view of a data module for one reader in one stage.

    Args:
        data: The images, already set up.
        stage: Decides which splits may be read; see `ALLOWED`.
        reader: The component that reads, as an error shall name it: ``"searcher 'cdarts'"``.
        log: Called with the split at its first access.
    """

    def __init__(
        self, data: DataModule[Any], stage: Stage, reader: str, log: Callable[[Split], None] = lambda _: None
    ) -> None:
        super().__init__(data.config)
        self._data, self._stage, self._reader, self._log = data, stage, reader, log
        self._seen: set[Split] = set()

    @property
    def task(self) -> Task:
        """Input and output sizes."""
        return self._data.task

    def sizes(self) -> Mapping[Split, int]:
        """Number of images per split."""
        return self._data.sizes()

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return how many batches one pass over ``split`` has."""
        return self._data.num_batches(split, batch_size=batch_size)

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Iterate once over a split, if this stage may read it.

        Raises:
            AccessError: It may not.
        """
        if split not in ALLOWED[self._stage]:
            allowed = ", ".join(sorted(ALLOWED[self._stage])) or "none"
            raise AccessError(
                f"{self._reader}: asked for the {split!r} images in the {self._stage} stage, which may read: "
                f"{allowed}. The test images are read by the test stage alone."
            )
        if split not in self._seen:
            self._seen.add(split)
            self._log(split)
        return self._data.batches(split, epoch=epoch, augment=augment, batch_size=batch_size)
