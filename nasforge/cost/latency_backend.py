"""Backends that run a timed network. The one for torch is here, others are in `nasforge.exports`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from nasforge.cost.latency import Clock, Timing, measure_in_turns
from nasforge.runtime import Runtime

__all__ = ["Backend", "ForwardPass", "TorchBackend"]


@dataclass(frozen=True)
class ForwardPass:
    """A forward pass that is timed.

    Attributes:
        module: In evaluation mode, on the device of the runtime.
        given: Its input.
        arguments: Further arguments, such as option weights.
    """

    module: nn.Module
    given: Tensor
    arguments: tuple[Any, ...] = ()

    def __call__(self) -> object:
        """Run the forward pass in torch."""
        return self.module(self.given, *self.arguments)


class Backend(ABC):
    """Times forward passes in some program, on some device."""

    name: str
    """Its name in the option ``latency.backend``."""

    @abstractmethod
    def time(
        self,
        jobs: Sequence[ForwardPass],
        *,
        runs: int,
        warmup: int,
        clock: Clock = "wall",
        report: Callable[[float], None] = lambda share: None,
    ) -> list[Timing]:
        """Time forward passes.

        Args:
            jobs: The networks to time.
            runs: Timed calls of each.
            warmup: Calls before them.
            clock: See `nasforge.cost.latency.Clock`.
            report: Told the share that is done, from 0 to 1.

        Raises:
            RunError: A forward pass cannot be timed.
        """

    def describe(self) -> dict[str, Any]:
        """Return what is known about the device, over what is known about this computer. Default: nothing."""
        return {}


class TorchBackend(Backend):
    """Times in torch, on the device of a runtime.

    Args:
        runtime: Device and precision.
    """

    name = "torch"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def time(
        self,
        jobs: Sequence[ForwardPass],
        *,
        runs: int,
        warmup: int,
        clock: Clock = "wall",
        report: Callable[[float], None] = lambda share: None,
    ) -> list[Timing]:
        """Time forward passes in turns."""
        calls = [partial(job) for job in jobs]
        return measure_in_turns(calls, self._runtime, runs=runs, warmup=warmup, clock=clock, report=report)
