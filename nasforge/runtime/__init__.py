"""Runtime: the device and number format of a run, its environment, and its state on disk."""

from nasforge.runtime.device import Precision, Runtime
from nasforge.runtime.transfer import exact_device, send, synchronize

__all__ = ["Precision", "Runtime", "exact_device", "send", "synchronize"]
