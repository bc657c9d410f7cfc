"""Shapes of the JSON files in a run folder: what later stages and commands read from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Architecture",
    "ArchitectureFile",
    "ClassesFile",
    "ClockFile",
    "EnvironmentFile",
    "Fingerprinted",
    "Picks",
    "ResolvedFile",
    "StageResult",
]

Picks = dict[str, str | list[str]]
"""An architecture as `nasforge.arch.Arch.to_json` returns it."""

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class Fingerprinted(_Shape):
    """``inputs.json`` of a stage, and what every result has."""

    fingerprint: str


class StageResult(Fingerprinted):
    """``result.json`` of every stage; a stage may need more."""

    stage: str
    seconds: Number
    params: Number | None = None
    macs: Number | None = None
    memory: Number | None = None
    latency_ms: Number | None = None


class Architecture(_Shape):
    """A described architecture."""

    architecture: Picks
    notation: str


class TaskEntry(BaseModel):
    """Input and output sizes."""

    model_config = ConfigDict(extra="forbid")

    in_channels: Annotated[int, Field(gt=0)]
    image_size: Annotated[int, Field(gt=0)]
    num_classes: Annotated[int, Field(gt=0)]


class ArchitectureFile(Architecture):
    """``derive/arch.json`` of a space that builds networks."""

    task: TaskEntry


class ClockFile(_Shape):
    """``clock.json`` of a stage."""

    seconds: Number


class RunEntry(_Shape):
    """The table ``[run]``."""

    seed: int


class PartEntry(_Shape):
    """A table that names a plugin."""

    use: str


class ResolvedFile(_Shape):
    """``resolved.json``; the recipe check judges the rest."""

    run: RunEntry
    space: PartEntry
    searcher: PartEntry


class ProcessEntry(_Shape):
    """One process that worked on a run."""

    threads: int | None = None
    workers: dict[str, Any] | None = None


class ClassesFile(_Shape):
    """``classes.json``."""

    class_names: list[str]
    fingerprint: str


class EnvironmentFile(_Shape):
    """``environment.json``."""

    processes: list[ProcessEntry]
