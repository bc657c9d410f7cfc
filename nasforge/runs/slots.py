"""Partial checkpoints of long steps, one file each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasforge.errors import RunError
from nasforge.runs.clock import StageClock
from nasforge.runtime import checkpoint
from nasforge.runtime.shards import Shards

__all__ = ["FileSlot"]


class FileSlot:
    """A partial checkpoint of a stage; see `nasforge.component.Slot`.

    Args:
        folder: Holds the slots of a stage.
        name: File name without suffix.
        clock: Saved with the slot, so that a restart knows the seconds spent.
        shards: The processes of the run, of which rank 0 alone writes; None for one process.

    Raises:
        RunError: The name cannot be a file name.
    """

    def __init__(
        self, folder: Path, name: str, clock: StageClock | None = None, shards: Shards | None = None
    ) -> None:
        if not re.fullmatch(r"[\w.-]+", name):
            raise RunError(f"slot {name!r}: a name has letters, digits, '.', '_' and '-' only.")
        self._path = folder / f"{name}.safetensors"
        self._clock, self._shards = clock, shards or Shards()

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state``; the previous one is kept as a fallback."""
        if self._shards.is_main:
            checkpoint.save(self._path, state)
            if self._clock:
                self._clock.save()
        self._shards.wait()

    def load(self) -> dict[str, Any] | None:
        """Return the newest state that can be read."""
        return self._shards.main_first(lambda: checkpoint.load(self._path))

    def delete(self) -> None:
        """Remove every generation."""
        if self._shards.is_main:
            checkpoint.delete(self._path)
        self._shards.wait()
