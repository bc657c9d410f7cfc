"""The evaluator that a searcher gets: in this process, or spread over workers if a run has them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nasforge.errors import RunError
from nasforge.evaluator import Evaluator
from nasforge.parallel.crew import Connect
from nasforge.parallel.failures import Tolerant
from nasforge.parallel.messages import Order
from nasforge.parallel.pool import Pool

if TYPE_CHECKING:
    from nasforge.recipe import RunConfig
    from nasforge.runs.folder import RunFolder
    from nasforge.runtime import Runtime

__all__ = ["count_cores", "describe_workers", "evaluating", "threads_per_worker"]


@contextmanager
def evaluating(
    evaluator: Evaluator[Any], options: RunConfig, folder: RunFolder, runtime: Runtime
) -> Iterator[Evaluator[Any]]:
    """Wrap the evaluator: tolerate failures, and run in parallel if configured. Workers stop on exit.

    Args:
        evaluator: Already set up.
        options: The ``[run]`` table.
        folder: The run folder, with the resolved recipe that workers read.
        runtime: The device of the main process.

    Raises:
        RunError: Ray is asked for and not installed, or its cluster is too small.
    """
    if not _has_workers(options):
        yield Tolerant(evaluator)
        return
    pool = Pool(evaluator, options.workers, _connect(options, folder, runtime), folder.log_access)
    try:
        yield pool
    finally:
        pool.close()


def threads_per_worker(options: RunConfig) -> int:
    """Return the CPU threads of each worker: ``run.threads``, or a fair share of the cores."""
    return options.threads or max(1, count_cores() // options.workers)


def describe_workers(options: RunConfig) -> Mapping[str, Any]:
    """Return the entry ``workers`` of a run's environment; empty if the run has no workers."""
    if not _has_workers(options):
        return {}
    threads = threads_per_worker(options)
    return {"workers": {"count": options.workers, "backend": options.backend, "threads": threads}}


def _has_workers(options: RunConfig) -> bool:
    return options.workers > 1 or options.backend != "processes"


def _connect(options: RunConfig, folder: RunFolder, runtime: Runtime) -> Connect:
    threads = threads_per_worker(options)

    def order(device: str) -> Order:
        arguments = {"path": str(folder.path.resolve()), "device": device}
        return Order("nasforge.parallel.worker:Worker", str(Path.cwd()), threads, arguments)

    if options.backend == "ray":
        if find_spec("ray") is None:
            raise RunError(
                "run.backend: 'ray' needs Ray, which is not installed. Install it: "
                "pip install 'nasforge[ray]'. Or write 'processes', for workers on this computer."
            )
        from nasforge.parallel.cluster import connect_to_ray

        # Ray shows each of its workers the GPUs that it may use.
        device = str(runtime.device)
        return connect_to_ray(order(device), options.workers, device)

    from nasforge.parallel.processes import Process

    return lambda number, receive: Process(order(_device(runtime, number)), receive)


def _device(runtime: Runtime, number: int) -> str:
    """Spread workers over all GPUs, unless the recipe names one."""
    device = runtime.device
    if device.type == "cuda" and device.index is None:
        return f"cuda:{number % torch.cuda.device_count()}"
    return str(device)


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
