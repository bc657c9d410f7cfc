"""Random streams: states of torch's generators, and the noise that all shards of a batch have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["architecture_noise", "random_state", "set_random_state", "shared_noise"]

COMMON = "common-"
"""Beginning of the names of the common stream's states."""


class _Stream:
    """Where the noise that shards share continues."""

    def __init__(self, device: torch.device, seed: int) -> None:
        self.device = device
        self.states = _states(device)
        torch.manual_seed(seed)
        self.swap()

    def swap(self) -> None:
        """Exchange the states of torch's generators with those kept here."""
        now = _states(self.device)
        _set(self.device, self.states)
        self.states = now


_common: ContextVar[_Stream | None] = ContextVar("common", default=None)


@contextmanager
def shared_noise(device: torch.device, seed: int) -> Iterator[None]:
    """Let `architecture_noise` draw from a stream that starts at a seed.

    Args:
        device: Where noise is drawn, besides the CPU.
        seed: Equal for all shards of a batch, in every process.
    """
    token = _common.set(_Stream(device, seed))
    try:
        yield
    finally:
        _common.reset(token)


@contextmanager
def architecture_noise() -> Iterator[None]:
    """Draw what decides an architecture, so that all shards of a batch draw the same.

    Outside shards, noise comes from torch's generators as they are.
    """
    stream = _common.get()
    if stream is None:
        yield
        return
    stream.swap()
    try:
        yield
    finally:
        stream.swap()


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's global generators: the CPU's, and that of ``device`` if it is another.

    Inside a shard, the state of the noise that shards have in common is among them.
    """
    stream = _common.get()
    shared = {} if stream is None else {COMMON + name: state for name, state in stream.states.items()}
    return {**_states(device), **shared}


def set_random_state(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Restore what `random_state` returned; a state of a device this run does not use is left out."""
    _set(device, states)
    if (stream := _common.get()) is not None:
        kept = {n.removeprefix(COMMON): state for n, state in states.items() if n.startswith(COMMON)}
        stream.states = kept or stream.states


def _states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set(device: torch.device, states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
