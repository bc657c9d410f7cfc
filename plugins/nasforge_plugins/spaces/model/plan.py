"""Possible changes of one block, however they were found out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BlockPlan", "InnerWidth"]


@dataclass(frozen=True)
class InnerWidth:
    """Channels inside a block that nothing outside it sees.

    Attributes:
        producers: Convolutions that make these channels, by their names in the block.
        carriers: Norms and depthwise convolutions that keep them apart.
        consumers: Convolutions that read them.
        channels: Their number.
        multiple: Divides every number of channels that the carriers allow.
    """

    producers: tuple[str, ...]
    carriers: tuple[str, ...]
    consumers: tuple[str, ...]
    channels: int
    multiple: int = 1


@dataclass(frozen=True)
class BlockPlan:
    """A block of a model, and what may change in it.

    Attributes:
        path: Name of the block in the model.
        drop: Whether it may be left out.
        inner: Its inner widths.
        kernels: Convolutions that may have another kernel, by their names in the block.
        activations: Activations that may be exchanged.
        gate: The module behind which a gate may follow; empty for none.
        gate_channels: Channels of that module's output.
        branch: Whether the shortcut lies outside, so that leaving the block out means adding nothing.
    """

    path: str
    drop: bool = False
    inner: tuple[InnerWidth, ...] = ()
    kernels: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()
    gate: str = ""
    gate_channels: int = 0
    branch: bool = False
