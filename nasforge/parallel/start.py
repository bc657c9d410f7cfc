"""The evaluator that a searcher gets: in this process, or spread over workers if a run has them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import torch

from nasforge.errors import RunError, suggest
from nasforge.evaluator import Evaluator
from nasforge.parallel.crew import Connect
from nasforge.parallel.failures import Tolerant
from nasforge.parallel.messages import Order, Receive
from nasforge.parallel.pool import Pool
from nasforge.parallel.ray_address import check_answer

if TYPE_CHECKING:
    from nasforge.recipe import RunConfig
    from nasforge.runs.folder import RunFolder
    from nasforge.runtime import Runtime

__all__ = [
    "check_processes",
    "check_start",
    "count_cores",
    "describe_workers",
    "evaluating",
    "threads_per_worker",
]


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
        RunError: Workers cannot start, see `check_start`, or the Ray cluster is too small.
    """
    if not _has_workers(options):
        yield Tolerant(evaluator)
        return
    check_start(options)
    with _connecting(options, folder, runtime) as connect:
        limit = options.start_limit if _is_foreign(options) else math.inf
        pool = Pool(evaluator, options.workers, connect, folder.log_access, limit)
        try:
            yield pool
        finally:
            pool.close()


def check_start(options: RunConfig) -> None:
    """Refuse workers that cannot start, before anything is written.

    Raises:
        RunError: Ray is asked for and not installed, its cluster does not answer, or the launcher is not
            found.
    """
    if options.backend == "ray":
        if find_spec("ray") is None:
            raise RunError(
                "run.backend: 'ray' needs Ray, which is not installed. Install it: "
                "pip install 'nasforge[ray]'. Or write 'processes', for workers on this computer."
            )
        check_answer()
    if options.launcher and which(options.launcher[0]) is None:
        program = options.launcher[0]
        near = get_close_matches(program, _programs(), n=1, cutoff=0.8)
        raise RunError(
            f"run.launcher: there is no program {program!r} here.{suggest(program, near)} Run this where it "
            "is installed, or write its path."
        )


def check_processes(options: RunConfig, processes: int) -> None:
    """Refuse several processes that cannot share a run.

    Args:
        options: The ``[run]`` table.
        processes: How many.

    Raises:
        RunError: They do not divide the shards, or the run has workers.
    """
    if _has_workers(options):
        raise RunError(
            f"run.workers: {options.workers} workers ({options.backend}) evaluate candidates, and "
            f"{processes} processes share the batches of one. Use one of the two."
        )
    if options.shards == 1 < processes:
        raise RunError(
            f"run.shards: {processes} processes cannot share batches of one shard, the default. Set "
            f"run.shards to a multiple of {processes}; that changes the result."
        )
    if options.shards % processes:
        *smaller, largest = [str(n) for n in range(1, options.shards + 1) if options.shards % n == 0]
        raise RunError(
            f"run.shards: {options.shards} shards cannot be shared equally by {processes} processes. Start "
            f"{', '.join(smaller)} or {largest}, or set run.shards to a multiple of {processes}; that "
            "changes the result."
        )


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
    return options.workers > 1 or _is_foreign(options)


def _is_foreign(options: RunConfig) -> bool:
    """Return whether workers start through something that may let them wait, perhaps on other machines."""
    return options.backend != "processes" or bool(options.launcher)


@contextmanager
def _connecting(options: RunConfig, folder: RunFolder, runtime: Runtime) -> Iterator[Connect]:
    threads = threads_per_worker(options)

    def order(device: str | None) -> Order:
        arguments = {"path": str(folder.path.resolve()), "device": device}
        return Order("nasforge.parallel.worker:Worker", str(Path.cwd()), threads, arguments)

    if options.backend == "ray":
        from nasforge.parallel.cluster import connecting_to_ray

        foreign = order(_foreign_device(options))
        with connecting_to_ray(foreign, options.workers, options.device, options.start_limit) as connect:
            yield connect
        return

    from nasforge.parallel.processes import Process

    def start(number: int, receive: Receive) -> Process:
        device = _foreign_device(options) if options.launcher else _device(runtime, number)
        return Process(order(device), receive, options.launcher)

    yield start


def _foreign_device(options: RunConfig) -> str | None:
    """Return the device of workers that see the GPUs they may use; None lets each of them choose."""
    return "cuda" if options.device.startswith("cuda") else None


def _device(runtime: Runtime, number: int) -> str:
    """Spread workers over all GPUs, unless the recipe names one."""
    device = runtime.device
    if device.type == "cuda" and device.index is None:
        return f"cuda:{number % torch.cuda.device_count()}"
    return str(device)


def _programs() -> set[str]:
    """Return the names of all files on the search path."""
    found: set[str] = set()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        with suppress(OSError):
            found.update(path.name for path in Path(folder or ".").iterdir())
    return found


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
