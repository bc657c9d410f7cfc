"""The components of a recipe, built and set up for a stage of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch

from nasforge.component import Context, Slot
from nasforge.config import SearcherConfig
from nasforge.confirm import ConfirmedSearcher
from nasforge.constraints import Constraints
from nasforge.data import DataModule
from nasforge.evaluator import Evaluator
from nasforge.observer import Observer
from nasforge.recipe import Recipe
from nasforge.runs.build import build
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import RunFolder
from nasforge.runs.guard import GuardedData
from nasforge.runs.inputs import published_task, read_images
from nasforge.runs.limits import find_known_metrics, make_constraints
from nasforge.runs.network import load_network
from nasforge.runs.scope import SEARCH, Scope
from nasforge.runs.slots import FileSlot
from nasforge.runtime import Runtime
from nasforge.searcher import Searcher
from nasforge.seeding import derive_seed
from nasforge.space import SearchSpace, Task

__all__ = ["Assembly"]


class Assembly:
    """The components of a run. Space, images, task and constraints are built once and shared by all stages.

    Args:
        recipe: The recipe of the run.
        folder: Holds slots, metrics and the access log.
        runtime: Device and precision.
        observer: Receives the progress of components.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, runtime: Runtime, observer: Observer[Any]) -> None:
        self.recipe, self.folder, self.runtime, self.observer = recipe, folder, runtime, observer
        self.resolved = recipe.resolved()
        self.seed = recipe.run.seed

    @cached_property
    def space(self) -> SearchSpace[Any]:
        """The search space."""
        space: SearchSpace[Any] = self._built("space")
        return space

    @cached_property
    def data(self) -> DataModule[Any]:
        """The images, loaded at the first access. Components get a guarded view of them."""
        # Rank 0 first, because decoded images may be kept in a file.
        return self.runtime.shards.main_first(lambda: read_images(self.recipe, self.space, self.runtime))

    @cached_property
    def task(self) -> Task:
        """Input and output sizes: those of the images, else of the space's published networks."""
        return self.data.task if "data" in self.recipe.parts else published_task(self.space)

    @cached_property
    def constraints(self) -> Constraints:
        """The limits of the recipe, and the costs of its architectures."""
        config, space = self.recipe.constraints, self.resolved["space"]
        known = find_known_metrics(self.recipe, self.space, self.runtime)
        return make_constraints(
            config, self.space, self.task, self.runtime, space, self.folder.path, self.recipe.latency, known
        )

    def assemble(
        self, wrap: Callable[[Evaluator[Any]], Evaluator[Any]] = lambda evaluator: evaluator
    ) -> tuple[Searcher[Any], Evaluator[Any] | None]:
        """Seed torch, then set up all components of a search.

        Args:
            wrap: Puts something between the searcher and its evaluator, such as a meter.

        Returns:
            The searcher before its first step, and its wrapped evaluator if there is one.
        """
        torch.manual_seed(derive_seed(self.seed, SEARCH.stage))
        evaluator: Evaluator[Any] | None = None
        if "evaluator" in self.recipe.parts:
            evaluator = wrap(self.search_evaluator())
        searcher: Searcher[Any] = self._built("searcher")
        distiller = self._built("distiller") if "distiller" in self.recipe.parts else None
        searcher.setup(self._context(SEARCH, "searcher", evaluator=evaluator, distiller=distiller))
        config = self.recipe.parts["searcher"].config
        if isinstance(config, SearcherConfig) and config.confirm.rungs:
            assert evaluator is not None, "the recipe check requires an [evaluator] table"
            searcher = ConfirmedSearcher(searcher, config.confirm, evaluator)
        return searcher, evaluator

    def search_evaluator(self) -> Evaluator[Any]:
        """Set up the evaluator of a search, and the base evaluator that it uses, if there is one."""
        base: Evaluator[Any] | None = None
        if "evaluator.base" in self.recipe.parts:
            base = self._built("evaluator.base")
            base.setup(self._context(SEARCH, "evaluator.base"))
        evaluator: Evaluator[Any] = self._built("evaluator")
        evaluator.setup(self._context(SEARCH, "evaluator", evaluator=base))
        return evaluator

    def trainer(self, scope: Scope, clock: StageClock | None = None) -> Evaluator[Any]:
        """Set up the evaluator that trains the final network, and its distiller if there is one.

        Args:
            scope: Rights of the evaluator.
            clock: Saved with every slot.
        """
        evaluator: Evaluator[Any] = self._built("train")
        distiller = self._built("train.distiller") if "train.distiller" in self.recipe.parts else None
        evaluator.setup(self._context(scope, "train", distiller=distiller, clock=clock))
        return evaluator

    def slot(self, scope: Scope, name: str, clock: StageClock | None = None) -> Slot:
        """Return a partial checkpoint of a stage.

        Args:
            scope: Rights of the component.
            name: Name of the slot.
            clock: Saved with the slot.
        """
        slots = self.folder.stage(scope.slots_of or scope.stage) / "slots"
        return FileSlot(slots, name, clock, self.runtime.shards)

    def _built(self, table: str) -> Any:
        return build(self.recipe.parts[table])

    def _context(self, scope: Scope, table: str, clock: StageClock | None = None, **parts: Any) -> Context:
        stage = scope.stage
        reader = f"{table} {self.recipe.parts[table].plugin.name!r}"

        def log(split: str) -> None:
            self.folder.log_access({"stage": stage, "reader": reader, "split": split})

        def record(epoch: int, metrics: Mapping[str, float]) -> None:
            if scope.stepped:
                return
            rows = self.folder.metrics
            rows.forget(lambda row: row.get("stage") != stage or row["step"] < epoch)
            rows.append({"stage": stage, "step": epoch, **metrics})
            self.observer.step(stage, epoch, metrics, None)

        return Context(
            space=self.space,
            runtime=self.runtime,
            seed=self.seed,
            stage=stage,
            slot=lambda name: self.slot(scope, name, clock),
            report=lambda values: self.observer.progress(stage, values),
            record=record,
            data=GuardedData(self.data, scope, reader, log) if "data" in self.recipe.parts else None,
            constraints=self.constraints,
            load_network=load_network,
            splits=scope.reads,
            **parts,
        )
