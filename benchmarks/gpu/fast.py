"""Seconds, launches, busy share and memory of ten kinds of steps, each computed in several ways."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.record import Record
from benchmarks.measure import operators
from benchmarks.rows import ROWS, TINY, Row, Size
from benchmarks.steps import CdartsStep, DartsStep, Setting, Work
from nasforge.runtime import Precision, Runtime, synchronize
from nasforge.runtime.graphs import WARMUPS, Graphs
from nasforge.runtime.settings import DeviceSettings

__all__ = ["GPU_ROWS", "WAYS", "Way", "check_fast"]

SECONDS, MOST = 0.6, 30
"""Time and number of steps after which no more are timed."""

NAMED = {row.name: row for row in ROWS}


def _wider(name: str, batch: int) -> Row:
    """Return a row with the larger batches that a GPU has room for."""
    row, (first, _, _) = NAMED[name], NAMED[name].title.rpartition(" ")
    size = replace(row.size, batch=batch)
    return replace(row, name=f"{name.partition('-')[0]}-{batch}", title=f"{first} {batch}", size=size)


GPU_ROWS = (*ROWS, _wider("darts", 64), _wider("cdarts-16", 256), _wider("nasbench201", 256))
"""The rows of `benchmarks.rows`, and three of them with larger batches."""


@dataclass(frozen=True)
class Way:
    """A way to compute a step.

    Attributes:
        plain: The plain reference instead of nasforge's own.
        precision: Of the networks.
        graphs: Capture the steps as CUDA graphs.
        tf32: Round the factors of products.
        channels_last: Layout of maps.
    """

    plain: bool = False
    precision: Precision = "fp32"
    graphs: bool = False
    tf32: bool = False
    channels_last: bool = True


WAYS: Mapping[str, Way] = {
    "eager": Way(),
    "plain": Way(plain=True, channels_last=False),
    "graph": Way(graphs=True),
    "bf16": Way(precision="bf16"),
    "tf32": Way(tf32=True),
    "nchw": Way(channels_last=False),
}
"""By name; all but ``"plain"`` are nasforge's own, and differ from ``"eager"`` in one thing."""


def check_fast(record: Record, device: torch.device, tiny: bool) -> None:
    """Measure every row in every way; the first way of all rows comes first.

    Args:
        record: Keeps the rows.
        device: Where steps run.
        tiny: Measure one small row.
    """
    rows = [NAMED["nasbench201-darts"]] if tiny else list(GPU_ROWS)
    for name, way in WAYS.items():
        for row in rows:
            size = TINY[row.name] if tiny else row.size
            record.measure(f"{row.name}, {name}", partial(_measure, row, size, way, device, tiny))


def _measure(row: Row, size: Size, way: Way, device: torch.device, tiny: bool) -> dict[str, Any]:
    graphs = Graphs.of(True, device) if way.graphs else Graphs()
    if way.graphs and not graphs.active:
        return {"skipped": f"CUDA graphs: {graphs.describe()['reason']}"}
    if way.tf32 and device.type != "cuda":
        return {"skipped": "TF32 is a format of NVIDIA GPUs"}
    DeviceSettings(tf32="auto" if way.plain else way.tf32).apply(device)
    runtime = Runtime(device, way.precision, way.channels_last, graphs=graphs)
    work = row.build(Setting(runtime, way.plain, size.batch, size.image_size), size)
    step = _captured(work, runtime) if way.graphs else work.step
    if step is None:
        return {"skipped": "its steps cannot be captured"}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(WARMUPS + 2 if way.graphs else 1 if tiny else 2):
        step()
    if way.graphs and len(graphs.describe()["captured"]) < 2:
        raise RuntimeError(f"not captured: {graphs.describe()['eager']}")
    found: dict[str, Any] = {"title": row.title, "step": _time(step, device, 1 if tiny else MOST)}
    if device.type == "cuda":
        found["memory_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
        found |= _profile(step, found["step"]["median"], device)
    elif not way.graphs:
        found["operators"] = operators(work)
    return found


def _captured(work: Work, runtime: Runtime) -> Callable[[], Any] | None:
    """Return both steps of a search as captured ones; None if they cannot be."""
    if not isinstance(work, CdartsStep | DartsStep) or (searcher := work.searcher).explain_eager():
        return None
    arch, weights = (
        runtime.steady(made, searcher.refresh_numbers) for made in (searcher.step_arch, searcher.step_search)
    )

    def step() -> None:
        arch(*work.batches["arch"], work.batches["weights"])
        weights(*work.batches["weights"])

    return step


def _time(step: Callable[[], Any], device: torch.device, most: int) -> dict[str, float]:
    """Return the median and the least of the seconds of a step, and the number of steps."""
    taken: list[float] = []
    synchronize(device)
    while not taken or (sum(taken) < SECONDS and len(taken) < most):
        began = time.perf_counter()
        step()
        synchronize(device)
        taken.append(time.perf_counter() - began)
    return {"median": statistics.median(taken), "least": min(taken), "steps": len(taken)}


Kind = Literal["kernels", "graphs"]


def _profile(step: Callable[[], Any], seconds: float, device: torch.device) -> dict[str, float]:
    """Return launches of a step, and the share of its time in which kernels run.

    Args:
        step: The step.
        seconds: Its time without a profiler.
        device: A GPU.
    """
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        step()
        synchronize(device)
    launches: dict[Kind, int] = {"kernels": 0, "graphs": 0}
    kernels = 0.0
    for event in recorded.key_averages():
        if event.key.startswith(("cudaLaunchKernel", "cuLaunchKernel")):
            launches["kernels"] += event.count
        elif event.key.startswith("cudaGraphLaunch"):
            launches["graphs"] += event.count
        elif event.device_type.name == "CUDA" and not event.is_user_annotation:
            kernels += event.self_device_time_total / 1e6
    named = {f"launched_{name}": count for name, count in launches.items()}
    return {**named, "kernel_seconds": kernels, "busy_share": kernels / seconds}
