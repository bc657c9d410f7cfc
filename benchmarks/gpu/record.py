"""Results of the script: written after every row, within a limit of time."""

from __future__ import annotations

import gc
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from nasforge.files import read_json, write_json

__all__ = ["DeviceLostError", "Record", "TimeIsOver"]

WORTH = 0.5
"""Seconds of a row after which garbage is collected."""

FRAMES = 12
"""Last lines of a traceback that are kept."""


class TimeIsOver(BaseException):
    """The time of a part is over. Derives from BaseException so that no row takes it for a failure."""


class DeviceLostError(Exception):
    """After an error, the device computes nothing more in this process."""


class Record:
    """Measures rows one after the other and keeps what they return.

    A row that fails is recorded with its reason, and so is one that no longer fits. Every row is written to
    the file at once, beside it and renamed.

    Args:
        path: The file. Rows that it has are not measured again.
        about: Hardware and software. The rows of a file must have been measured there.
        seconds: Time for all parts.
        keep_failures: Whether failed rows of the file count as measured.
        clock: Seconds that only grow.

    Raises:
        SystemExit: The file has results of other hardware or software.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        seconds: float,
        keep_failures: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._clock, self._seconds = path, clock, seconds
        self._began = clock()
        self._until, self._longest, self._part = seconds, 0.0, ""
        self.results: dict[str, Any] = {"about": dict(about), "parts": {}}
        if path.exists():
            earlier = read_json(path, advice="Name another file with --out.")
            if earlier["about"] != self.results["about"]:
                raise SystemExit(
                    f"--out {path}: holds results of other hardware or software. Name another file."
                )
            self.results = earlier
        self._again = () if keep_failures else ("failed",)

    @property
    def left(self) -> float:
        """Seconds that are left to the current part."""
        return self._until - (self._clock() - self._began)

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    @contextmanager
    def part(self, name: str, until: float) -> Iterator[None]:
        """Begin a part.

        Args:
            name: Its name in the file.
            until: Share of the whole time at which it ends. Earlier parts may leave more than their share.
        """
        self._part, self._until, self._longest = name, until * self._seconds, 0.0
        self.results["parts"].setdefault(name, {})
        try:
            yield
        finally:
            self._write()

    def measure(self, row: str, do: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Measure a row of the current part, unless the file has it or the time is over.

        Args:
            row: Its name.
            do: Measures and returns JSON data. ``{"skipped": why}`` says that the row does not apply.

        Returns:
            The row: what ``do`` returned, ``{"failed": why, "trace": [...]}`` or ``{"skipped": why}``.

        Raises:
            DeviceLostError: After a failure, the device does not answer.
        """
        rows = self.results["parts"][self._part]
        known = rows.get(row, {"skipped": ""})
        if not any(word in known for word in ("skipped", *self._again)):
            return dict(known)
        began = self._clock()
        if self.left <= self._longest:
            longest = f", and a row took up to {self._longest:.1f} s" if self._longest else ""
            rows[row] = {"skipped": f"{max(self.left, 0):.1f} s were left{longest}"}
        else:
            rows[row] = self._try(do)
            taken = self._clock() - began
            rows[row]["seconds"] = round(taken, 3)
            self._longest = max(self._longest, taken)
            if taken > WORTH:
                gc.collect()  # networks refer to themselves
        word = next((word for word in ("failed", "skipped") if word in rows[row]), "")
        print(f"{self._part:12} {row:32} {f'{word}: {rows[row][word]}' if word else 'done'}", flush=True)
        self._write()
        if "failed" in rows[row]:
            _check_device()
        return dict(rows[row])

    def _try(self, do: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        try:
            with _interrupted(self.left):
                return dict(do())
        except TimeIsOver:
            return {"skipped": f"was not over when the {self._until:.0f} s until the end of this part were"}
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            trace = traceback.format_exc().splitlines()[-FRAMES:]
            return {"failed": f"{type(error).__name__}: {first}", "trace": trace}

    def _write(self) -> None:
        write_json(self._path, self.results)


@contextmanager
def _interrupted(seconds: float) -> Iterator[None]:
    """Raise `TimeIsOver` in the block when the time is over; outside the main thread, never."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeIsOver

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _check_device() -> None:
    """Free what a failed row held; raise `DeviceLostError` if a GPU no longer answers."""
    if not torch.cuda.is_available():
        return
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.zeros(1, device="cuda").item()
    except RuntimeError as error:
        raise DeviceLostError(str(error).splitlines()[0]) from error
