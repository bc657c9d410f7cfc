"""Compile the kernels once per machine, and load them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

__all__ = ["FOLDER", "compiled"]

FOLDER = Path(__file__).parent
REALS = {torch.float32: "float", torch.float64: "double"}
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-shared", "-fPIC", "-ffp-contract=fast")
SECONDS = 300  # a compiler that takes longer hangs


@cache
def compiled(dtype: torch.dtype, source: str = "bundle.c") -> ctypes.CDLL | None:
    """Return the compiled kernels of a source file, or None if there is no compiler or it fails.

    The first call compiles, which takes a few seconds. The library is kept in the folder named by the
    environment variable ``NASFORGE_CACHE``, or else in ``~/.cache/nasforge``.

    Args:
        dtype: Type of the numbers in maps.
        source: File name of the source; it may include the headers beside it.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if dtype not in REALS or compiler is None:
        return None
    tune = "-march=native" if platform.machine().lower() in {"x86_64", "amd64"} else "-mcpu=native"
    for flags in (("-fopenmp", tune), (tune,), ()):  # Apple's compiler has no OpenMP
        try:
            return ctypes.CDLL(str(_built(compiler, [*FLAGS, *flags, f"-DREAL={REALS[dtype]}"], source)))
        except (OSError, subprocess.SubprocessError):
            continue
    return None


def _built(compiler: str, flags: Sequence[str], source: str) -> Path:
    """Return the compiled kernels, which may be there already."""
    # The name holds all that the result depends on, the processor's instructions included: home folders are
    # shared between machines.
    parts = (*_texts(source), compiler, *flags, platform.machine(), _instructions())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    folder = Path(os.environ.get("NASFORGE_CACHE") or Path.home() / ".cache/nasforge") / "native"
    target = folder / f"{Path(source).stem}-{key}.so"
    if not _own(target):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made = Path(temporary) / target.name
            command = [compiler, *flags, "-o", str(made), str(FOLDER / source), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            made.replace(target)  # another process may do the same at the same time
    return target


def _texts(source: str) -> list[str]:
    return [path.read_text() for path in (FOLDER / source, *sorted(FOLDER.glob("*.h")))]


def _own(path: Path) -> bool:
    """Return whether the file exists and belongs to this user, who is going to run its code."""
    return path.exists() and (not hasattr(os, "getuid") or path.stat().st_uid == os.getuid())


def _instructions() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else [platform.processor()]
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
