"""Seconds that a stage has taken, summed over all processes that worked on it."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

from nasforge.errors import CheckpointError
from nasforge.files import read_json, write_json
from nasforge.runs.stored import ClockFile

__all__ = ["StageClock"]

PAUSE = 1.0
"""Seconds between two saves; a search may make thousands of steps in that time."""


class StageClock:
    """Wall-clock seconds of a stage, earlier processes included.

    Args:
        path: File that keeps the sum.
        writes: Whether this process writes it.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self._path, self._writes = path, writes
        self._before = self._read()
        self._start = self._saved = time.monotonic()

    def _read(self) -> float:
        if not self._path.exists():
            return 0.0
        try:
            return float(read_json(self._path, ClockFile, "Its seconds count from 0.")["seconds"])
        except CheckpointError as error:  # no reason to stop a run
            warnings.warn(str(error), stacklevel=3)
            return 0.0

    def seconds(self) -> float:
        """Return the sum so far."""
        return self._before + time.monotonic() - self._start

    def save(self) -> None:
        """Write the sum, at most once per second; time since the last save is lost in a crash."""
        now = time.monotonic()
        if not self._writes:
            return
        if self._path.exists() and now - self._saved < PAUSE:
            return
        self._saved = now
        write_json(self._path, {"seconds": round(self.seconds(), 3)})
