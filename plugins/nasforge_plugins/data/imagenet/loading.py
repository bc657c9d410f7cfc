"""Loader processes that live as long as the run, and get the keys of one pass after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from nasforge_plugins.data.imagenet.photos import Key, Photos, collate

__all__ = ["PhotoLoader"]


class PhotoLoader:
    """Reads passes over the photos of one folder with the same processes.

    Args:
        photos: The photos.
        workers: Number of processes; 0 reads in this one.
        pin: Whether batches are in pinned memory, for copies to a GPU.
    """

    def __init__(self, photos: Photos, workers: int, pin: bool) -> None:
        self._photos, self._workers, self._pin = photos, workers, pin
        self._passes = _Passes()
        self._loader: DataLoader[Any] | None = None
        self._busy = False

    def read(self, batches: Sequence[Sequence[Key]]) -> Iterator[Any]:
        """Iterate over the results of `collate`, in the order of ``batches``.

        Two passes at a time are possible; the second one has processes of its own.

        Args:
            batches: The keys of each batch.
        """
        if self._busy:
            yield from self._make(_Passes(batches), stay=False)
            return
        if self._loader is None:
            self._loader = self._make(self._passes, stay=True)
        self._busy, self._passes.batches = True, batches
        try:
            yield from self._loader
        finally:
            self._busy = False

    def _make(self, passes: _Passes, stay: bool) -> DataLoader[Any]:
        return DataLoader(
            self._photos,
            batch_sampler=passes,
            num_workers=self._workers,
            persistent_workers=stay and self._workers > 0,
            collate_fn=collate,
            pin_memory=self._pin,
            # Without it, making the loader would draw a number from the run's global generator.
            generator=torch.Generator().manual_seed(0),
        )


class _Passes:
    """The batch sampler of a loader that lives longer than a pass."""

    def __init__(self, batches: Sequence[Sequence[Key]] = ()) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Key]]:
        return iter([list(batch) for batch in self.batches])

    def __len__(self) -> int:
        return len(self.batches)
