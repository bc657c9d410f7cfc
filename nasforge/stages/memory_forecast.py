"""Forecast of the memory of a recipe: what its stages need, and what fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasforge.data import DataModule
from nasforge.images.in_memory import InMemoryImages
from nasforge.recipe import Recipe
from nasforge.runs.build import build
from nasforge.runs.inputs import expected_task, published_task
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.stages import STAGES
from nasforge.stages.blank import BlankImages
from nasforge.stages.fitting import Fit, find_fit, find_shards
from nasforge.stages.memory import Rehearsal, StageMemory

__all__ = ["MemoryForecast", "forecast_memory"]

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class MemoryForecast:
    """Memory that the stages of a recipe need on a GPU.

    Attributes:
        stages: The stages that need any.
        task: Input and output sizes of the networks.
        limit: Bytes that there are; None if that was not asked.
        fits: What fits into the limit, for stages that could be counted.
        shards: The fewest shards with which all stages fit; None if not needed, or if none do.
    """

    stages: Sequence[StageMemory]
    task: Task
    limit: int | None = None
    fits: Sequence[Fit] = ()
    shards: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data; memory is in bytes."""
        found: list[dict[str, Any]] = []
        for one in self.stages:
            fit = next((fit for fit in self.fits if fit.memory is one), None)
            found.append(
                {
                    "stage": one.stage.name,
                    "batch": one.batch,
                    "sampled": one.sampled,
                    "problems": list(one.problems),
                    **({} if one.worst is None else asdict(one.worst)),
                    **(
                        {}
                        if fit is None
                        else {"option": fit.option, "fits": fit.fits, "largest": fit.largest}
                    ),
                }
            )
        return {"stages": found, "limit": self.limit, "shards": self.shards, "text": self.lines()}

    def lines(self) -> list[str]:
        """Return the forecast in words."""
        if not self.stages:
            return ["memory on a GPU: no stage of this recipe needs any."]
        of = f"images of {self.task.image_size} pixels and {self.task.num_classes:,} classes"
        lines = [f"memory on a GPU, predicted for {of}:"]
        for one in self.stages:
            name = one.stage.name.ljust(max(len(stage.stage.name) for stage in self.stages))
            if one.worst is not None:
                lines.append(f"  {name}  {_size(one.worst.peak):>8}  {_parts(one)}")
            lines += [f"  {name}  not counted: {problem}" for problem in one.problems]
        return lines + (self._advice(self.limit) if self.limit is not None else [])

    def _advice(self, limit: int) -> list[str]:
        lines = [_of_stage(fit) for fit in self.fits]
        if not lines:
            return []
        if all(fit.fits for fit in self.fits):
            return [f"within {_size(limit)}:", *lines]
        if self.shards is not None:
            lines.append(f"  run.shards = {self.shards}  # or this, with the batches as they are")
        elif all(fit.largest or fit.fits for fit in self.fits):
            lines.append("  No number of shards that divides all batches fits.")
        return [f"to fit into {_size(limit)}, write in the recipe:", *lines]


def forecast_memory(
    recipe: Recipe, folder: Path, data: DataModule[Any] | None = None, limit: int | None = None
) -> MemoryForecast:
    """Predict the memory of all stages, and what fits into a limit.

    Nothing is computed or allocated: every step runs on the meta device.

    Args:
        recipe: The recipe.
        folder: An empty folder for what is written meanwhile.
        data: Its images, set up; None if they have not been read.
        limit: Bytes.

    Raises:
        NasforgeError: A component cannot be built.
    """
    space = build(recipe.parts["space"])
    images, resident = None, 0
    task = published_task(space)
    if "data" in recipe.parts:
        ready = data is not None
        module: DataModule[Any] = build(recipe.parts["data"]) if data is None else data
        task = module.task if ready else expected_task(recipe, space) or task
        images = BlankImages(module, task, Runtime.of(recipe.run, "cpu"), ready)
        resident = data.resident_bytes if isinstance(data, InMemoryImages) else 0
    rehearsal = Rehearsal(recipe, folder, images, resident)
    tables = {*recipe.parts, *recipe.resolved()}
    counted = [rehearsal.count(stage) for stage in STAGES if stage.needed(tables)]
    stages = [one for one in counted if one is not None]
    if limit is None:
        return MemoryForecast(stages, task)
    fits = [find_fit(rehearsal, one, limit) for one in stages if one.worst is not None]
    shards = None if all(one.fits for one in fits) else find_shards(rehearsal, fits, limit)
    return MemoryForecast(stages, task, limit, fits, shards)


def _of_stage(fit: Fit) -> str:
    """Return a line about a stage: an assignment for the recipe where there is one."""
    stage, batch = fit.memory.stage.name, fit.memory.batch
    if not fit.option:
        state = "fits" if fit.fits else "does not fit, and no option sets its batch"
        return f"  # {stage}: {state}"
    if not fit.largest:
        return (
            f"  # {stage}: a batch of {fit.least} already needs {_size(fit.least_need)}. Use narrower or "
            'fewer cells, run.precision = "bf16" or run.gradient_checkpointing = true'
        )
    if fit.fits:
        more = f"; up to {fit.largest:,} do" if fit.largest > batch else ""
        return f"  # {stage}: {fit.option} = {batch} fits{more}"
    return f"  {fit.option} = {fit.largest}  # {stage}: the largest that fits, instead of {batch:,}"


def _parts(memory: StageMemory) -> str:
    assert memory.worst is not None
    worst = memory.worst
    parts = {
        "weights": worst.weights,
        "optimisers": worst.optimizers,
        "gradients": worst.gradients,
        "activations": worst.activations,
        "images": worst.images,
    }
    of = f"batch {memory.batch:,}: " if memory.batch else ""
    sampled = "; the most of random architectures" if memory.sampled else ""
    return of + ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size) + sampled


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= 1000 * MIB else f"{size / MIB:.1f} MiB"
