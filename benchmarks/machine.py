"""Where the numbers come from."""

from __future__ import annotations

from datetime import date
from typing import Any

import torch

import nasforge
from nasforge.runtime.environment import processor_name

__all__ = ["describe"]


def describe(device: torch.device) -> dict[str, Any]:
    """Return date, hardware and versions, as a result keeps them."""
    return {
        "date": str(date.today()),
        "hardware": _hardware(device),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "nasforge": nasforge.__version__,
    }


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"
