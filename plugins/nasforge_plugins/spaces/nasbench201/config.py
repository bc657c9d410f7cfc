"""Options of the NAS-Bench-201 space."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, field_validator

from nasforge.config import PluginConfig


class NasBench201Config(PluginConfig):
    """Sizes of the three networks, and how architectures are read from weights."""

    channels: PositiveInt = 16
    """Width of the first stage of the network that is trained at the end; the benchmark uses 16."""

    cells: PositiveInt = 5
    """Cells per stage of that network; the benchmark uses 5."""

    search_channels: PositiveInt = 16
    """Width of the first stage of the search network."""

    search_cells: PositiveInt = 5
    """Cells per stage of the search network."""

    eval_channels: PositiveInt = 16
    """Width of the first stage of the evaluation network inside a search."""

    eval_cells: PositiveInt = 5
    """Cells per stage of the evaluation network inside a search."""

    skeleton: Literal["benchmark", "official"] = "benchmark"
    """End of the two networks of a search before the pooling: "benchmark" normalises and rectifies, as the
    benchmark's own networks do; "official" does neither, as the published CDARTS code. The network that is
    trained at the end always follows the benchmark."""

    cut_none: bool = True
    """Whether ``none`` cuts off what is behind it: weights that lead to nothing else have no gradient and
    stay as they are. False multiplies by zero, as the published CDARTS code: their gradients are zeros, so
    that weight decay and momentum move them."""

    allow_none: bool = True
    """Whether an edge may be read from the weights as "none"; false takes the heaviest other operation."""

    partial_channels: PositiveInt = 1
    """Operations of the search network see one channel in so many, the others pass by (PC-DARTS: 4). Cells
    then compute as "reference"."""

    execution: Literal["fast", "reference"] = "fast"
    """How cells compute: "fast" shares work between the edges that leave one node, "reference" runs one
    module per operation. The numbers and the parameters are the same."""

    table: str = "nasbench201"
    """The table in which found architectures are looked up, as `nasforge tables list` names it."""

    @field_validator("table")
    @classmethod
    def _exists(cls, table: str) -> str:
        if table != "nasbench201":  # that one is always there, and listing plugins stays light
            from nasforge_plugins.evaluators.tabular.errors import TableError
            from nasforge_plugins.evaluators.tabular.store import path_of

            try:
                path_of(table)
            except TableError as error:
                raise ValueError(str(error)) from None
        return table
