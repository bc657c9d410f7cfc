"""Latency of networks: measured after a warm-up, reported as median and quartiles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nasforge.errors import RunError
from nasforge.runtime import Runtime, synchronize
from nasforge.space import Task

__all__ = ["Clock", "Timing", "limit_threads", "measure_in_turns", "measure_latency", "random_input"]

Clock = Literal["wall", "cpu"]
"""The measured time: ``"wall"`` is wall-clock time, ``"cpu"`` the CPU time of this process. The latter is
for one thread of a CPU that others use as well: it leaves out the time in which they had it."""


@dataclass(frozen=True)
class Timing:
    """Duration of a call.

    Attributes:
        median_ms: Half of the calls took less, in milliseconds.
        lower_ms: A quarter took less.
        upper_ms: A quarter took more.
        runs: Number of timed calls, after the warm-up.
    """

    median_ms: float
    lower_ms: float
    upper_ms: float
    runs: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Sum up the durations of single calls.

        Args:
            seconds: At least one.
        """
        times = [1000.0 * s for s in seconds]
        if len(times) == 1:
            return cls(times[0], times[0], times[0], 1)
        lower, median, upper = statistics.quantiles(times, n=4, method="inclusive")
        return cls(median, lower, upper, len(times))


def measure_latency(
    network: nn.Module,
    task: Task,
    runtime: Runtime | None = None,
    *,
    batch: int = 1,
    runs: int = 50,
    warmup: int = 10,
    threads: int | None = None,
    clock: Clock = "wall",
) -> Timing:
    """Measure the forward pass of a network.

    Args:
        network: Called with images ``(batch, C, S, S)``, in `eval` mode and without gradients. It is moved to
            the device.
        task: The image size.
        runtime: Device, precision and memory layout; None: the CPU in single precision.
        batch: Images per call.
        runs: Calls that are timed.
        warmup: Calls before them.
        threads: CPU threads; None leaves torch's setting.
        clock: See `Clock`.

    Raises:
        RunError: The clock ``"cpu"`` does not fit device or threads.
    """
    runtime = runtime or Runtime.create("cpu")
    network = runtime.prepare(network)
    size = (batch, task.in_channels, task.image_size, task.image_size)
    images = runtime.prepare_images(torch.zeros(size))
    training = network.training
    network.eval()
    try:
        with limit_threads(threads):
            call = partial(network, images)
            return measure_in_turns([call], runtime, runs=runs, warmup=warmup, clock=clock)[0]
    finally:
        network.train(training)


@torch.no_grad()
def measure_in_turns(
    calls: Sequence[Callable[[], object]],
    runtime: Runtime,
    *,
    runs: int,
    warmup: int,
    clock: Clock = "wall",
    report: Callable[[float], None] = lambda share: None,
) -> list[Timing]:
    """Time several calls, one after the other in every round, so that a busy minute harms all alike.

    Args:
        calls: The calls to time, under the precision of the runtime.
        runtime: Where they run: a call ends when its device has finished.
        runs: Rounds that are timed.
        warmup: Calls before each call's first round.
        clock: See `Clock`.
        report: Told the share that is done, from 0 to 1.

    Raises:
        RunError: The clock ``"cpu"`` does not fit device or threads.
    """
    if clock == "cpu" and (runtime.device.type != "cpu" or torch.get_num_threads() != 1):
        raise RunError(
            f"latency: the clock 'cpu' counts what one CPU thread takes, not {torch.get_num_threads()} on "
            f"{runtime.device}. Measure on the CPU with one thread, or by the clock 'wall'."
        )
    now = time.perf_counter if clock == "wall" else time.process_time
    seconds: list[list[float]] = [[] for _ in calls]
    with runtime.autocast():
        for call in calls:
            for _ in range(warmup):
                call()
        for done in range(runs):
            for call, found in zip(calls, seconds, strict=True):
                synchronize(runtime.device)
                started = now()
                call()
                synchronize(runtime.device)
                found.append(now() - started)
            report((done + 1) / runs)
    return [Timing.of(found) for found in seconds]


@contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Let torch use so many CPU threads inside the block.

    Args:
        count: The number; None changes nothing.
    """
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def random_input(shape: Sequence[int], runtime: Runtime) -> Tensor:
    """Return an input of normal noise, from a generator of its own, on the device of a runtime.

    Args:
        shape: ``(B, C, H, W)``.
        runtime: Device and layout.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(tuple(shape), generator=generator)
    return runtime.prepare_images(noise) if noise.dim() == 4 else noise.to(runtime.device)
