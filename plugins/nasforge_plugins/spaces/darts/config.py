"""Options of the DARTS cell space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nasforge.plugins import CellConventions, CellSpaceConfig
from nasforge_plugins.spaces.darts.operation_sets import check_operations

__all__ = ["DartsConfig"]


class DartsConfig(CellSpaceConfig):
    """Operations and nodes of the cells, which always have four nodes, and sizes of the three networks."""

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

    operations: Literal["darts", "s1", "s2", "s3", "s4"] | tuple[str, ...] | tuple[tuple[str, ...], ...] = (
        "darts"
    )
    """Operations of the edges: "darts" has all of DARTS, "s1" to "s4" are the spaces of RobustDARTS. A list
    of names is the set of every edge. A list of 14 lists has a set for each edge of both cells, by node and
    input; one of 28 lists has those of the normal cell first."""

    allow_none: bool | None = None
    """Whether `operations = "darts"` has `none`, which no architecture takes, but which weighs something in a
    search network (DARTS: true, DrNAS: false); unset: as in the published code of the searcher, or true."""

    node_inputs: Literal["two", "pairs", "threshold", "threshold-edges"] | None = None
    """Inputs that a node adds, and how they are read from option weights: "two" different inputs with one
    operation each (DARTS); the two heaviest "pairs" of operation and input, perhaps of one input (GDAS);
    those of "two" whose operation weighs at least `threshold` (FairDARTS); "threshold-edges": of every input
    the two heaviest operations that do (FairDARTS's other rule). Unset: as in the published code of the
    searcher, or "two"."""

    threshold: float = Field(0.85, ge=0, le=1)
    """Smallest weight of an operation that `node_inputs = "threshold"` and "threshold-edges" keep."""

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

    @field_validator("operations", mode="before")
    @classmethod
    def _check_operations(cls, value: Any) -> Any:
        return check_operations(value)

    @model_validator(mode="after")
    def _check_none(self) -> Self:
        if self.allow_none is not None and self.operations != "darts":
            raise ValueError(
                'allow_none is for operations = "darts"; other sets list "none" themselves. Remove allow_none'
            )
        return self

    def with_conventions(self, conventions: CellConventions) -> Self:
        """Return these options; those that are None take the value of the convention of the same name.

        Args:
            conventions: Of the searcher. Whether there is ``none`` counts for ``operations = "darts"`` alone.
        """
        if self.operations != "darts":
            conventions = replace(conventions, allow_none=None)
        return super().with_conventions(conventions)
