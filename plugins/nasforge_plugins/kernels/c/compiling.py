"""Compile the kernels once per machine, and load them."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from nasforge.files import UnsafeCacheError, cache_folder, open_cache
from nasforge_plugins.kernels.c.library_cache import find_library, store_library

__all__ = ["FOLDER", "compiled", "find_compiler", "library_folder"]

FOLDER = Path(__file__).parent
REALS = {torch.float32: "float", torch.float64: "double"}
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-shared", "-fPIC", "-ffp-contract=fast")
SECONDS = 300  # a compiler that takes longer hangs


@cache
def compiled(dtype: torch.dtype, source: str = "bundle.c") -> ctypes.CDLL | None:
    """Return the compiled kernels of a source file, or None if there is no compiler or it fails.

    The first call compiles, which takes a few seconds. The library is kept in the folder named by the
    environment variable ``NASFORGE_CACHE``, or else in ``~/.cache/nasforge``. A folder to which other users
    can write is not used: a warning says so, and there are no kernels.

    Args:
        dtype: Type of the numbers in maps.
        source: File name of the source; it may include the headers beside it.
    """
    compiler = find_compiler()
    if dtype not in REALS or compiler is None:
        return None
    try:
        folder = open_cache(library_folder())
    except (UnsafeCacheError, OSError) as error:
        warnings.warn(
            f"Networks compute without kernels, which takes longer: {error}. Set NASFORGE_CACHE to a folder "
            "that only you can write to.",
            stacklevel=2,
        )
        return None
    tune = "-march=native" if platform.machine().lower() in {"x86_64", "amd64"} else "-mcpu=native"
    for flags in (("-fopenmp", tune), (tune,), ()):  # Apple's compiler has no OpenMP
        try:
            options = [*FLAGS, *flags, f"-DREAL={REALS[dtype]}"]
            return ctypes.CDLL(str(_built(folder, compiler, options, source)))
        except (OSError, subprocess.SubprocessError):
            continue
    return None


def find_compiler() -> str | None:
    """Return the path of the C compiler that is used, or None if none is installed."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def library_folder() -> Path:
    """Return the folder of the compiled kernels; it may not exist yet."""
    return cache_folder("native")


def _built(folder: Path, compiler: str, flags: Sequence[str], source: str) -> Path:
    """Return the compiled kernels, which may be there already."""
    # The name holds all that the result depends on, the processor's instructions included: home folders are
    # shared between machines.
    parts = (*_texts(source), compiler, *flags, platform.machine(), _instructions())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    name = f"{Path(source).stem}-{key}"
    if found := find_library(folder, name):
        return found
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        made = Path(temporary) / "made.so"
        command = [compiler, *flags, "-o", str(made), str(FOLDER / source), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        return store_library(folder, name, made)


def _texts(source: str) -> list[str]:
    return [path.read_text("utf8") for path in (FOLDER / source, *sorted(FOLDER.glob("*.h")))]


def _instructions() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else [platform.processor()]
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
