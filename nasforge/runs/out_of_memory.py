"""Advice about missing memory: the batch sizes that would fit."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

import torch

from nasforge.arch import Arch
from nasforge.cost.memory import training_memory
from nasforge.errors import NasforgeError, RunError, is_out_of_memory
from nasforge.runs.assembly import Assembly
from nasforge.runs.scope import SEARCH, TRAIN, Scope
from nasforge.space import NetworkSpace

__all__ = ["explaining_out_of_memory", "free_memory"]

GIB = 1024.0
"""MiB."""

OTHERWISE = "fewer or narrower cells, fewer workers, or gradient_checkpointing = true in [run]"


@contextmanager
def explaining_out_of_memory(run: Assembly, scope: Scope, arch: Arch | None = None) -> Iterator[None]:
    """Word missing memory by the batch sizes that would fit, found by halving.

    Args:
        run: The run.
        scope: Its stage.
        arch: The architecture that is trained; None for a supernet.

    Raises:
        RunError: Memory was missing inside.
    """
    message = ""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, NasforgeError) or not is_out_of_memory(error):
            raise
        message = shorten(str(error), 150, placeholder=" …")
    else:
        return
    gc.collect()  # the error held what the stage had allocated
    try:
        advice = _advise(run, scope, arch)
    except Exception:  # an estimate is a courtesy: a space may not build on the meta device
        advice = ""
    said = f" ({message})" if message else ""
    raise RunError(f"{scope.stage}: out of memory{said}. {advice or f'Use smaller batches, {OTHERWISE}.'}")


def free_memory(device: torch.device) -> float | None:
    """Return how much memory a process can still get, in MiB; None where the system does not tell.

    Args:
        device: The device. For a CPU, the limit of the process (``ulimit -v``) counts too.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 2**20
    try:
        import resource

        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable"))
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            free = min(free, (limit - pages * resource.getpagesize()) / 2**20)
    except (ImportError, OSError, StopIteration, ValueError):
        return None
    return max(0.0, free)


def _advise(run: Assembly, scope: Scope, arch: Arch | None) -> str:
    table = next((name for name in (TRAIN.stage, "data") if _batch_size(run, name, scope)), "")
    images = _batch_size(run, table, scope)
    if not images or not isinstance(run.space, NetworkSpace):
        return ""
    with torch.device("meta"):
        network = run.space.build(run.task, arch, "search" if scope is SEARCH else "final")
    needs: list[tuple[int, float]] = []
    free = free_memory(run.runtime.device)
    while images >= 1:
        needs.append((images, training_memory(network, run.task, images)))
        if free is not None and needs[-1][1] <= free and len(needs) > 1:
            break
        images //= 2
    told = ", ".join(f"{need / GIB:.2f} GiB for {size}" for size, need in [*needs[:2], *needs[2:][-2:]])
    text = f"One step of this network needs about {told} images per batch"
    if free is None:
        return f"{text}. Set {table}.batch_size accordingly, or use {OTHERWISE}."
    text += f"; {free / GIB:.2f} GiB are free. "
    fits = needs[-1][0] if needs[-1][1] <= free else 0
    return text + (f"Use --set {table}.batch_size={fits}, or {OTHERWISE}." if fits else f"Use {OTHERWISE}.")


def _batch_size(run: Assembly, table: str, scope: Scope) -> int:
    if table not in run.recipe.parts or (table == TRAIN.stage and scope is SEARCH):
        return 0
    return int(getattr(run.recipe.parts[table].config, "batch_size", 0) or 0)
