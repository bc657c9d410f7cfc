"""Diagnosis of the kernels for ``nasforge doctor``: compiler, cache folder, what compiles."""

from __future__ import annotations

import warnings

import torch

from nasforge.plugins import Diagnosis
from nasforge_plugins.kernels.c.compiling import FOLDER, compiled, find_compiler, library_folder

__all__ = ["diagnose"]

SLOWER = "Searches on a CPU take several times as long without them."


def diagnose() -> list[Diagnosis]:
    """Compile every source file and report what came of it."""
    compiler = find_compiler()
    if compiler is None:
        remedy = f"Install gcc or clang. {SLOWER}"
        return [Diagnosis("kernels", "no C compiler (cc, gcc, clang) was found", "note", remedy)]
    sources = sorted(path.name for path in FOLDER.glob("*.c"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        failed = [source for source in sources if compiled(torch.float32, source) is None]
    if caught:
        return [Diagnosis("kernels", str(caught[0].message).rstrip("."), "note", SLOWER)]
    if failed:
        remedy = f"Compile one by hand to see why. {SLOWER}"
        return [Diagnosis("kernels", f"{compiler} cannot compile {', '.join(failed)}", "note", remedy)]
    return [Diagnosis("kernels", f"{len(sources)} compiled by {compiler} in {library_folder()}")]
