"""Whole training steps as CUDA graphs: captured once, then replayed without the processor's work."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

__all__ = ["CudaGraphs", "GraphMaker", "Graphs", "Steady"]

WARMUPS = 3
"""Steps that run as they are first: they make momentum, constants on the device, and cuDNN's choices."""

Outputs = Mapping[str, Tensor]
Step = Callable[..., Outputs]


class GraphMaker(Protocol):
    """Captures steps: `CudaGraphs`, or a stand-in of the tests."""

    def warm_up(self, step: Callable[[], Outputs]) -> Outputs:
        """Run a step as it has to run before it is captured."""

    def capture(self, step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Record a step without running it; return what replays it, and where its outputs will be.

        Raises:
            RuntimeError: The step cannot be captured.
        """


class CudaGraphs:
    """Captures on a stream of its own, as torch's notes on CUDA graphs ask for.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)

    def warm_up(self, step: Callable[[], Outputs]) -> Outputs:
        """Run a step on the stream on which it will be captured."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            found = step()
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return found

    def capture(self, step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Capture a step; each graph has memory of its own, since gradients may outlive a replay."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            outputs = step()
        return graph.replay, outputs


class Graphs:
    """The captured steps of a run, and why others are not.

    Args:
        wanted: The option ``graphs``, for `describe`.
        maker: Captures steps; None: every step runs as it is.
        reason: Why steps are not captured, if they are not.

    Attributes:
        active: Whether steps are captured where they can be.
    """

    def __init__(
        self, wanted: bool | Literal["auto"] = "auto", maker: GraphMaker | None = None, reason: str = ""
    ) -> None:
        self._wanted, self._maker, self._reason = wanted, maker, reason
        self._steps: dict[Hashable, Steady] = {}
        self._captured = set[str]()
        self._eager: dict[str, str] = {}

    @classmethod
    def of(cls, wanted: bool | Literal["auto"], device: torch.device) -> Graphs:
        """Return what the option ``graphs`` asks for on a device.

        Args:
            wanted: The option; ``"auto"`` is where it was measured to pay, which is nowhere yet.
            device: Where steps run.
        """
        if wanted is not True:
            return cls(wanted, reason="not asked for")
        if device.type != "cuda":
            return cls(wanted, reason=f"there are none on {device.type!r}")
        return cls(wanted, CudaGraphs(device))

    @property
    def active(self) -> bool:
        """Whether steps are captured where they can be."""
        return self._maker is not None

    def steady(self, step: Step, refresh: Callable[[], None] = lambda: None) -> Step:
        """Return a step that is captured and replayed, or the step itself if steps are not captured.

        What changes between two calls must be a tensor of the step's arguments, or a tensor that stays where
        it is and that ``refresh`` fills. Everything else keeps its first value.

        Args:
            step: Trains on a batch; returns scalars by name. Equal steps share one graph.
            refresh: Called before each step.
        """
        if self._maker is None:
            return step
        if step not in self._steps:
            name = getattr(step, "__name__", type(step).__name__)
            self._steps[step] = Steady(step, self._maker, refresh, lambda why: self._note(name, why))
        return self._steps[step]

    def run_eagerly(self, name: str, why: str) -> None:
        """Note for `describe` that a step runs as it is.

        Args:
            name: Of the step.
            why: The reason.
        """
        self._eager[name] = why

    def forget(self) -> None:
        """Drop all captures: tensors that they read or write are replaced. The next steps warm up again."""
        self._steps.clear()

    def describe(self) -> dict[str, Any]:
        """Return what was asked for and what became of it, as JSON data."""
        about: dict[str, Any] = {"wanted": self._wanted, "captured": sorted(self._captured)}
        if self._reason:
            about["reason"] = self._reason
        return {**about, "eager": dict(sorted(self._eager.items()))}

    def _note(self, name: str, why: str) -> None:
        if why:
            self.run_eagerly(name, why)
        else:
            self._captured.add(name)


class Steady:
    """A step with static inputs: run a few times, captured, replayed.

    Every call trains once: capturing does not compute, so the captured step is replayed at once. Batches of
    other shapes, such as a shorter last one, run eagerly.

    Args:
        step: Trains on a batch; returns scalars by name.
        maker: Captures it.
        refresh: Called before each step; fills the tensors of numbers that change.
        note: Told "" once it is captured, or why it cannot be.
    """

    def __init__(
        self, step: Step, maker: GraphMaker, refresh: Callable[[], None], note: Callable[[str], None]
    ) -> None:
        self._step, self._maker, self._refresh, self._note = step, maker, refresh, note
        self._shapes: list[Any] | None = None
        self._warm = 0
        self._inputs: tuple[Any, ...] = ()
        self._replay: Callable[[], None] | None = None
        self._outputs: Outputs = {}
        self._failed = False

    def __call__(self, *batch: Any) -> dict[str, Tensor]:
        """Train on a batch.

        Args:
            batch: Arguments of the step: tensors, tuples of them, and constants.
        """
        self._refresh()
        shapes = [(t.shape, t.dtype, t.stride()) for t in _tensors(batch)]
        if self._shapes is None:
            self._shapes = shapes
        if self._failed or shapes != self._shapes:
            return dict(self._step(*batch))
        if self._warm < WARMUPS:
            self._warm += 1
            return dict(self._maker.warm_up(lambda: self._step(*batch)))
        if self._replay is None:
            self._inputs = _copied(batch)
            try:
                self._replay, self._outputs = self._maker.capture(lambda: self._step(*self._inputs))
            except RuntimeError as error:
                return self._give_up(error, batch)
            self._note("")
        for static, given in zip(_tensors(self._inputs), _tensors(batch), strict=True):
            static.copy_(given)
        self._replay()
        return {name: value.detach().clone() for name, value in self._outputs.items()}

    def _give_up(self, error: RuntimeError, batch: tuple[Any, ...]) -> dict[str, Tensor]:
        self._failed, self._inputs = True, ()
        why = str(error).splitlines()[0]
        self._note(f"capturing failed: {why}")
        warnings.warn(f"run.graphs: a step cannot be captured and runs as it is: {why}", stacklevel=3)
        return dict(self._step(*batch))


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [t for value in values for t in _tensors(value)] if isinstance(values, tuple | list) else []


def _copied(values: tuple[Any, ...]) -> tuple[Any, ...]:
    def copy(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return tuple(map(copy, value))
        return torch.empty_like(value).copy_(value) if isinstance(value, Tensor) else value

    return tuple(map(copy, values))
