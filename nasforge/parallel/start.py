"""From the options of a run to what evaluates its candidates: this process, others, or a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nasforge.errors import RunError
from nasforge.evaluator import Evaluator
from nasforge.parallel.failures import Tolerant
from nasforge.parallel.pool import Connect, Pool
from nasforge.parallel.worker import Order

if TYPE_CHECKING:
    from nasforge.recipe import RunConfig
    from nasforge.runs.folder import RunFolder
    from nasforge.runtime import Runtime

__all__ = ["describe_workers", "evaluating", "threads_per_worker"]


@contextmanager
def evaluating(
    evaluator: Evaluator[Any], options: RunConfig, folder: RunFolder, runtime: Runtime
) -> Iterator[Evaluator[Any]]:
    """Lend what a searcher asks instead of the evaluator itself; its workers end with the block.

    Args:
        evaluator: Already set up.
        options: The ``[run]`` table.
        folder: The run folder; it has the resolved recipe, which workers read.
        runtime: Where the main process computes.

    Raises:
        RunError: Ray is asked for and not installed, or its cluster is too small.
    """
    if not _apart(options):
        yield Tolerant(evaluator)
        return
    pool = Pool(evaluator, options.workers, _connect(options, folder, runtime), folder.log_access)
    try:
        yield pool
    finally:
        pool.close()


def threads_per_worker(options: RunConfig) -> int:
    """Return the CPU threads of each worker: ``run.threads``, or a fair share of the cores."""
    return options.threads or max(1, _cores() // options.workers)


def describe_workers(options: RunConfig) -> Mapping[str, Any]:
    """Return what the environment of a run says about its workers; nothing if it has none."""
    if not _apart(options):
        return {}
    threads = threads_per_worker(options)
    return {"workers": {"count": options.workers, "backend": options.backend, "threads": threads}}


def _apart(options: RunConfig) -> bool:
    return options.workers > 1 or options.backend != "processes"


def _connect(options: RunConfig, folder: RunFolder, runtime: Runtime) -> Connect:
    threads, place, path = threads_per_worker(options), str(Path.cwd()), str(folder.path.resolve())
    if options.backend == "ray":
        if find_spec("ray") is None:
            raise RunError(
                "run.backend: 'ray' needs Ray, which is not installed. Install it: "
                "pip install 'nasforge[ray]'. Or write 'processes', for workers on this computer."
            )
        from nasforge.parallel.cluster import connect_to_ray

        # Ray shows each of its workers the GPUs that it may use.
        return connect_to_ray(asdict(Order(path, str(runtime.device), threads, place)), options.workers)

    from nasforge.parallel.processes import Process

    return lambda number, receive: Process(
        asdict(Order(path, _device(runtime, number), threads, place)), receive
    )


def _device(runtime: Runtime, number: int) -> str:
    """Spread workers over all GPUs, unless the recipe names one."""
    device = runtime.device
    if device.type == "cuda" and device.index is None:
        return f"cuda:{number % torch.cuda.device_count()}"
    return str(device)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
