"""Prediction of the memory that the stages of a recipe need on a GPU, from steps on the meta device."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from weakref import WeakSet

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._pytree import tree_leaves

from nasforge.arch import Arch
from nasforge.component import Work
from nasforge.cost.live import LiveStorages
from nasforge.observer import Observers
from nasforge.recipe import Recipe
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.runtime.meta import META, as_gpu, reading_zeros
from nasforge.runtime.result_shapes import ResultShapes
from nasforge.stages.blank import BlankImages, BlankRun
from nasforge.stages.runner import Run
from nasforge.stages.stage import Stage
from nasforge.stages.trial import TrialRun, rehearsing

__all__ = ["Measured", "Rehearsal", "StageMemory"]


@dataclass(frozen=True)
class Measured:
    """Memory of a unit of work, in bytes.

    Attributes:
        peak: The most that is alive at a time.
        weights: Parameters and buffers of all networks, and whatever else stays from step to step.
        optimizers: State of the optimisers, such as momentum.
        gradients: Gradients of parameters, at an optimiser's step.
        activations: Tensors that the backward pass keeps.
        images: Images that stay on the device, and the latest batch of each split.
    """

    peak: int
    weights: int
    optimizers: int
    gradients: int
    activations: int
    images: int


@dataclass(frozen=True)
class StageMemory:
    """Memory of the unit of a stage's work that needs most.

    Attributes:
        stage: The stage.
        worst: The memory of that unit; None if no unit could be counted.
        place: Its place among the units of the stage.
        batch: Images of its training batch, of all shards together; 0 if it reads none.
        sampled: Whether random architectures stand for the one that the search finds.
        problems: Units that could not be counted, and why.
    """

    stage: Stage
    worst: Measured | None
    place: int = 0
    batch: int = 0
    sampled: bool = False
    problems: tuple[str, ...] = ()


class Rehearsal:
    """Does units of the work of a recipe's stages on the meta device.

    Args:
        recipe: The recipe.
        folder: Holds what is written meanwhile.
        images: Its images without values; None for a recipe without images.
        resident: Bytes of images that lie on the device all the time.
    """

    def __init__(self, recipe: Recipe, folder: Path, images: BlankImages | None, resident: int = 0) -> None:
        self.recipe, self.shards, self._images, self._resident = recipe, recipe.run.shards, images, resident
        self._real = Run(recipe, RunFolder(folder), Runtime.of(recipe.run, "cpu"), Observers(()))
        if images is not None:
            self._real.__dict__["data"] = images  # limits need the sizes of images and never read them
        self._found: Arch | None = None
        self._shapes = ResultShapes()

    def count(self, stage: Stage) -> StageMemory | None:
        """Return the memory of a stage; None if its work needs none."""
        found: list[tuple[int, int, Measured]] = []
        problems: list[str] = []
        with self._working(stage, self.shards, {}) as (trial, works, live):
            for place in range(len(works)):
                work = works.pop(0)  # with the networks that it has built
                if work.units <= 0 or work.writes:
                    continue
                try:
                    found.append((place, *self._do(work, live)))
                except Exception as error:
                    problems.append(f"{work.name}: {type(error).__name__}: {error}".splitlines()[0])
            self._found, sampled = trial.found, trial.sampled
        if not found:
            return StageMemory(stage, None, problems=tuple(problems)) if problems else None
        place, batch, worst = max(found, key=lambda one: one[2].peak)
        if worst.peak == self._resident and not problems:
            return None
        return StageMemory(stage, worst, place, batch, sampled, tuple(problems))

    def count_with(self, memory: StageMemory, batch: int, shards: int) -> Measured:
        """Return the memory of the same unit with another batch.

        Args:
            memory: The unit.
            batch: Images of its training batch, of all shards together.
            shards: Parts of the batch, which divide it.
        """
        with self._working(memory.stage, shards, {memory.batch: batch}) as (_, works, live):
            return self._do(works[memory.place], live)[1]

    @contextmanager
    def _working(
        self, stage: Stage, shards: int, instead: Mapping[int, int]
    ) -> Iterator[tuple[TrialRun, list[Work], LiveStorages]]:
        """Provide the work of a stage.

        More than two shards are counted as two of the same size: one keeps what the others leave, and every
        other one after it needs as much.
        """
        counted = min(shards, 2)
        if self._images is not None:
            self._images.instead, self._images.share = dict(instead), Fraction(counted, shards)
        run = BlankRun(self._real, self._images, counted)
        live = LiveStorages(device=META)
        with rehearsing(run) as trial, as_gpu(self._shapes), live, reading_zeros():
            trial.found = self._found
            yield trial, list(stage.workload(trial) or ()), live

    def _do(self, work: Work, live: LiveStorages) -> tuple[int, Measured]:
        """Do a unit; return its batch size and its memory."""
        gc.collect()  # networks of the unit before
        images = self._images
        if images is not None:
            images.asked = 0
            images.given.clear()
        watch = _Optimizers()
        before = live.now
        live.restart()
        with watch, saved_tensors_hooks(live.keep, live.give):
            work.run()
        batches = others = 0
        if images is not None:
            image = images.task.in_channels * images.task.image_size**2 * 4 + 8  # and its label
            batches = sum(images.given.values()) * image
            others = int(batches / images.share) - batches
        # A first step makes state that later steps have from the start.
        state, grown = watch.state(), max(0, live.now - before)
        return 0 if images is None else images.asked, Measured(
            peak=live.peak + grown + others + self._resident,
            weights=live.now - state - batches,
            optimizers=state,
            gradients=watch.gradients,
            activations=live.saved,
            images=batches + others + self._resident,
        )


class _Optimizers:
    """Watches all optimisers inside a block.

    Attributes:
        gradients: The most bytes of gradients that there were when one of them stepped.
    """

    def __init__(self) -> None:
        self.gradients, self._seen = 0, WeakSet[Optimizer]()

    def __enter__(self) -> None:
        self._handle = register_optimizer_step_pre_hook(self._look)

    def __exit__(self, *error: Any) -> None:
        self._handle.remove()

    def state(self) -> int:
        """Return the bytes of the states of the optimisers."""
        tensors = (leaf for one in self._seen for leaf in tree_leaves(dict(one.state)))
        return sum(t.nbytes for t in tensors if isinstance(t, Tensor) and t.device == META)

    def _look(self, optimizer: Optimizer, *_: Any) -> None:
        self._seen.add(optimizer)
        groups = (group["params"] for one in self._seen for group in one.param_groups)
        parameters = {id(p): p for group in groups for p in group}.values()
        self.gradients = max(self.gradients, sum(p.grad.nbytes for p in parameters if p.grad is not None))
