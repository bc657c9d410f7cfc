"""Options of the DARTS cell space."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nasforge.plugins import CellSpaceConfig

__all__ = ["DartsConfig"]


class DartsConfig(CellSpaceConfig):
    """Sizes of the three networks; cells always have four nodes of two inputs each, and eight operations."""

    channels: int = Field(36, ge=2, multiple_of=2)
    """Channels of the first cell's nodes in the final network (CIFAR 36, ImageNet 48)."""

    cells: int = Field(20, ge=3)
    """Cells of the final network (CIFAR 20, ImageNet 14); those at one and two thirds reduce the side."""

    stem: Literal["cifar", "imagenet"] = "cifar"
    """First layers of all networks: "cifar" keeps the side, "imagenet" divides it by 8."""

    stem_multiplier: int = Field(3, ge=1)
    """The CIFAR stem has this many times the channels of a node; the ImageNet stem has as many as a node."""

    search_channels: int = Field(16, ge=2, multiple_of=2)
    """Channels of the first cell's nodes in the search network."""

    search_cells: int = Field(8, ge=3)
    """Cells of the search network."""

    eval_channels: int = Field(16, ge=2, multiple_of=2)
    """Channels of the first cell's nodes in the evaluation network inside a search (CDARTS)."""

    eval_cells: int = Field(20, ge=3)
    """Cells of the evaluation network inside a search (CIFAR 20, ImageNet 14)."""

    pool_batch_norm: bool | None = None
    """Whether poolings of the search network end in a batch norm without scale and shift; unset: as in the
    published code of the searcher (DARTS: true, CDARTS: false), or false."""

    final_pool_batch_norm: bool | None = None
    """The same of the network that is trained at the end; unset: as in the published code of the searcher
    (DrNAS: true), or false."""

    partial_channels: int = Field(1, ge=1)
    """Operations of the search network see one channel in so many, the others pass by (PC-DARTS: 4). Cells
    then compute as "reference"."""

    execution: Literal["fast", "reference"] = "fast"
    """How cells compute: "fast" shares work between operations, "reference" runs them one by one."""
