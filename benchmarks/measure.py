"""Time in turns, operators, memory, arithmetic."""

from __future__ import annotations

import gc
import math
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.steps import Work
from nasforge.runtime import synchronize

__all__ = ["arithmetic", "gives_work", "in_turns", "matmul_peak", "operators", "peak_memory"]

NO_WORK = {
    *("aten::detach", "aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty"),
    *("aten::new_empty_strided", "aten::_unsafe_view"),
}
"""Operators that give a device nothing to do."""
ARITHMETIC = (
    *("aten::convolution_backward", "aten::convolution", "aten::mm", "aten::bmm", "aten::addmm"),
    *("nasforge::bundle", "nasforge::bundle_backward"),
    *("nasforge::filter", "nasforge::unfilter"),
    *("nasforge::rectify", "nasforge::gather", "nasforge::dots"),
    *("nasforge::winograd", "nasforge::winograd_backward"),
)
"""What a profile calls the operators whose arithmetic is counted; convolutions of all backends are inside."""


def in_turns(
    sides: Mapping[str, Callable[[], float | None]], pairs: int, device: torch.device
) -> dict[str, dict[str, list[float]]]:
    """Time every side once per round, so that whatever else the machine does hits all alike.

    Args:
        sides: By name, what to do; one that returns a number has timed itself, in another process.
        pairs: Rounds that count; one before them warms up.
        device: Where the sides compute.

    Returns:
        Per side ``seconds`` and ``processor`` (seconds of this process's threads), one per round.
    """
    taken: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "processor": []} for name in sides}
    for number in range(pairs + 1):
        for name, do in sides.items():
            gc.collect()
            wall, processor = time.perf_counter(), time.process_time()
            told = do()
            synchronize(device)
            if number:
                taken[name]["seconds"].append(time.perf_counter() - wall if told is None else told)
                if told is None:
                    taken[name]["processor"].append(time.process_time() - processor)
    return taken


def gives_work(operator: Any) -> bool:
    """Return whether an operator gives a device something to do: it is not a view, and not only memory."""
    return not operator.is_view and operator._schema.name not in NO_WORK


class _Count(TorchDispatchMode):
    """Counts the operators that give a device something to do."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += gives_work(func)
        return func(*args, **(kwargs or {}))


def operators(work: Work) -> int:
    """Return how many operators one step dispatches, views not counted: what a GPU pays for."""
    with _Count() as counter:
        work.step()
    return counter.count


def arithmetic(work: Work, device: torch.device) -> dict[str, float]:
    """Return the arithmetic of one step, and the time its convolutions and matrix products take.

    Returns:
        ``gflop`` (a multiplication and an addition are two), and ``seconds`` inside the operators that do it:
        on the device, or of the thread that waits for them on a CPU. Convolutions count what they take
        directly: with kernels that multiply less, the rate may exceed the peak.
    """
    corrected = {torch.ops.aten.convolution_backward: _backward_flop}
    with FlopCounterMode(display=False, custom_mapping=corrected) as counter:
        work.step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as recorded:
        work.step()
        synchronize(device)
    of_device = "device_time_total" if device.type == "cuda" else "cpu_time_total"
    rows = (row for row in recorded.key_averages() if row.key in ARITHMETIC)
    microseconds = sum(getattr(row, of_device) for row in rows)
    return {"gflop": counter.get_total_flops() / 1e9, "seconds": microseconds / 1e6}


def _backward_flop(*shapes: Any, out_shape: Any, **options: Any) -> int:
    """Count a convolution's gradients; torch's own count takes grouped convolutions for dense ones."""
    gradient, _, weight = shapes[:3]
    of_input, of_weight, _ = shapes[10]
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * (of_input + of_weight)


def peak_memory(make: Callable[[], Work], device: torch.device, steps: int = 2) -> float:
    """Return the peak memory of a few steps above that of networks and images alone, in MiB.

    On a CPU it is that of the whole process: call it in a new one.
    """
    work = make()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        for _ in range(steps):
            work.step()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    resident = _most_resident()
    for _ in range(steps):
        work.step()
    return (_most_resident() - resident) / 2**10


def _most_resident() -> int:
    """Return the largest size this process has had, in KiB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says begins with the size of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def matmul_peak(device: torch.device, size: int = 2048, repeats: int = 8) -> float:
    """Return the fastest float32 matrix product of this device and number of threads, in GFLOP/s."""
    size = size if device.type == "cpu" else 4 * size
    a, b = torch.randn(2, size, size, device=device)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9
