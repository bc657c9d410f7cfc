"""Options of the DARTS space with separate stages."""

from __future__ import annotations

from pydantic import Field

from nasforge_plugins.spaces.darts.config import DartsConfig

__all__ = ["DartsStagesConfig"]


class DartsStagesConfig(DartsConfig):
    """The options of the space `darts`. Networks have five cells or more, so that no stage is without one."""

    cells: int = Field(20, ge=5)
    """Cells of the final network (CIFAR 20, ImageNet 14); those at one and two thirds reduce the side."""

    search_cells: int = Field(8, ge=5)
    """Cells of the search network."""

    eval_cells: int = Field(20, ge=5)
    """Cells of the evaluation network inside a search (CIFAR 20, ImageNet 14)."""
