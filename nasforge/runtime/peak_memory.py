"""Peak memory of a computation: of the accelerator, or of this process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

__all__ = ["PeakMemory"]

MIB = 2**20
CLEAR = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


class PeakMemory:
    """Peak memory since construction: allocated on an accelerator, else resident in this process.

    Args:
        device: Where the computation happens.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif CLEAR.exists():
            try:
                CLEAR.write_text("5")  # sets the peak of the process to its present size
            except OSError:  # some containers forbid it; the peak is then that of the whole process
                return

    def read(self) -> float | None:
        """Return the peak in MiB; None where it cannot be measured."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / MIB
        if self._device.type != "cpu":
            return None
        if STATUS.exists():
            lines = STATUS.read_text(encoding="utf8").splitlines()
            found = (line for line in lines if line.startswith("VmHWM"))
            return next((int(line.split()[1]) / 1024 for line in found), None)
        if sys.platform == "win32":
            return None
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
