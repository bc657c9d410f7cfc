"""Where the numbers come from."""

from __future__ import annotations

import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

import nasforge

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
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    return f"{name or platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
