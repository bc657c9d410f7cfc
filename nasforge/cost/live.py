"""Storages that are alive at a time, counted operator by operator."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["LiveStorages"]


class LiveStorages(TorchDispatchMode):
    """Adds up the bytes of every storage that is made, until it is freed.

    Scratch space inside an operation and the allocator's own do not count.

    Args:
        known: Bytes of storages that are counted elsewhere, by ``_cdata``.
        device: Count storages of this device only; None counts all.

    Attributes:
        now: Bytes that are alive.
        peak: The most bytes that were alive at a time, since `restart`.
        saved: The most bytes that a backward pass kept alive, since `restart` and without what was alive
            then. Counted within ``torch.autograd.graph.saved_tensors_hooks(live.keep, live.give)``.
    """

    def __init__(self, known: Mapping[int, int] = {}, device: torch.device | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = self.saved = 0
        self._known, self._device = dict(known), device
        self._alive: dict[int, weakref.ref[Any]] = {}
        self._resting = set[int]()
        self._kept: dict[int, int] = {}
        self._kept_now = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if not func.is_view:
            self._look(made)
        return made

    def restart(self) -> None:
        """Begin new peaks, from what is alive now."""
        self.peak, self.saved = self.now, 0
        self._resting, self._kept, self._kept_now = set(self._known), {}, 0

    def keep(self, tensor: Tensor) -> Tensor:
        """Count a tensor that a backward pass needs, and return it."""
        key = tensor.untyped_storage()._cdata
        if key in self._known and key not in self._resting and key not in self._kept:
            self._kept[key] = self._known[key]
            self._kept_now += self._known[key]
            self.saved = max(self.saved, self._kept_now)
        return tensor

    @staticmethod
    def give(tensor: Tensor) -> Tensor:
        """Return a tensor to a backward pass."""
        return tensor

    def _look(self, made: Any) -> None:
        if isinstance(made, Tensor):
            self._count(made)
        elif isinstance(made, (tuple, list)):
            for one in made:
                self._look(one)

    def _count(self, tensor: Tensor) -> None:
        if self._device is not None and tensor.device != self._device:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        self._alive[key] = weakref.ref(storage, lambda _: self._free(key))

    def _free(self, key: int) -> None:
        del self._alive[key]
        self._resting.discard(key)  # another storage may get its address
        self.now -= self._known.pop(key, 0)
        self._kept_now -= self._kept.pop(key, 0)
