"""Environment of a run: versions, hardware and commit, for repeating it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import nasforge
from nasforge.plugins.masking import mask_secrets
from nasforge.runtime import Runtime
from nasforge.runtime.settings import describe_settings

__all__ = ["describe_environment", "processor_name"]

DISTRIBUTIONS = ("torch", "torchvision", "numpy", "safetensors", "pydantic", "pluggy", "scikit-learn")


def describe_environment(runtime: Runtime, origins: Iterable[str], seed: int) -> dict[str, Any]:
    """Return a manifest of this process as JSON data.

    Args:
        runtime: Device and precision of the run.
        origins: Distributions that the run's plugins come from, with versions.
        seed: The run's seed.
    """
    device = runtime.device
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": mask_secrets(sys.argv),
        "nasforge": nasforge.__version__,
        "commit": _commit(Path(nasforge.__file__).parent),
        "plugins": sorted(set(origins)),
        "python": platform.python_version(),
        "versions": {name: v for name in DISTRIBUTIONS if (v := _version(name))},
        "platform": platform.platform(),
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "precision": runtime.precision,
        **describe_settings(),
        "depthwise_layout": runtime.depthwise,
        "graphs": runtime.graphs.describe(),
        "seed": seed,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    """Return the commit of a source checkout, with ``+changes`` if files differ; None elsewhere."""
    try:
        # Without optional locks: a process that is killed here must not leave the checkout locked.
        ask = ["git", "--no-optional-locks", "-C", str(folder), "status", "--porcelain=v2", "--branch"]
        ask += ["--untracked-files=no"]
        done = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    changed = any(not line.startswith("#") for line in lines)
    return f"{commit}+changes" if commit and changed else commit


def processor_name() -> str:
    """Return the name of this computer's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
