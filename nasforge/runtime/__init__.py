"""Runtime: the device and number format of a run, its environment, and its state on disk."""

from nasforge.runtime.device import Precision, Runtime, synchronize

__all__ = ["Precision", "Runtime", "synchronize"]
