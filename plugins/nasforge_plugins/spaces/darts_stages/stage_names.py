"""Names of choices in a space of three stages: those of the `darts` space behind the number of the stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

__all__ = ["STAGES", "of_stage", "stage_name"]

T = TypeVar("T")

STAGES = (0, 1, 2)
"""The first two end in a reduction cell, the third has none."""


def stage_name(stage: int, name: str) -> str:
    """Return the name of a choice of the `darts` space in a stage, such as ``"stage1/normal/node0/in0"``."""
    return f"stage{stage}/{name}"


def of_stage(values: Mapping[str, T], stage: int) -> dict[str, T]:
    """Return the values of a stage's choices, by their names in the `darts` space."""
    prefix = stage_name(stage, "")
    return {name.removeprefix(prefix): values[name] for name in values if name.startswith(prefix)}
