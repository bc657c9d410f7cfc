"""Where a plugin under test works: a context of tiny parts, slots in a folder, an eye on what it reads."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasforge.component import Component, Context
from nasforge.data import DataModule, Split
from nasforge.evaluator import Evaluator
from nasforge.runs.guard import GuardedData
from nasforge.runs.scope import SEARCH, Scope
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import Searcher
from nasforge.seeding import derive_seed
from nasforge.testing.common import Subject, require
from nasforge.training.loops import random_state, set_random_state

__all__ = ["Killed", "SearchDriver", "Workbench", "through_disk"]


class Killed(BaseException):
    """Stands for the death of the process, so that no ``except Exception`` catches it."""


class FolderSlot:
    """A partial checkpoint in a file; see `nasforge.component.Slot`.

    Args:
        path: The file.
        bench: Told about every save, to die at a given one.
    """

    def __init__(self, path: Path, bench: Workbench) -> None:
        self._path, self._bench = path, bench

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state``, then die if this is the save to die at."""
        checkpoint.save(self._path, state)
        self._bench.saves += 1
        if self._bench.saves == self._bench.die_at_save:
            raise Killed

    def load(self) -> dict[str, Any] | None:
        """Return the newest state that can be read."""
        return checkpoint.load(self._path)

    def delete(self) -> None:
        """Remove what was saved."""
        checkpoint.delete(self._path)


class WatchedData(DataModule[Any]):
    """Images that count how often each split gave a batch.

    Args:
        data: The guarded view a component gets in a real run.
        batches_read: Number of batches by split; counted here.
        without: A split that is to look empty.
    """

    def __init__(self, data: GuardedData, batches_read: Counter[str], without: Split | None = None) -> None:
        super().__init__(data.config)
        self._data, self._batches_read, self._without = data, batches_read, without

    @property
    def task(self) -> Any:
        """Input and output sizes."""
        return self._data.task

    def sizes(self) -> Mapping[Split, int]:
        """Number of images per split."""
        sizes = dict(self._data.sizes())
        return sizes if self._without is None else {**sizes, self._without: 0}

    def num_batches(self, split: Split, *, batch_size: int | None = None) -> int:
        """Return how many batches one pass over ``split`` has."""
        return self._data.num_batches(split, batch_size=batch_size)

    def batches(
        self, split: Split, *, epoch: int = 0, augment: bool = True, batch_size: int | None = None
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """Iterate once over a split, if the stage may read it."""
        guarded = self._data.batches(split, epoch=epoch, augment=augment, batch_size=batch_size)
        return self._counted(split, guarded)

    def _counted(
        self, split: Split, batches: Iterable[tuple[Tensor, Tensor]]
    ) -> Iterable[tuple[Tensor, Tensor]]:
        for batch in batches:
            self._batches_read[split] += 1
            yield batch


class Workbench:
    """Makes contexts for one plugin under test.

    Args:
        subject: The plugin and its partners.
        folder: Holds the slots.
        seed: The run's seed.

    Attributes:
        batches_read: Number of batches by split.
        saves: How often a slot was written.
        die_at_save: The number of the save after which the process "dies"; 0 for never.
        without: A split that looks empty to what is set up from now on.
    """

    def __init__(self, subject: Subject, folder: Path, seed: int = 0) -> None:
        self.subject, self.folder, self.seed = subject, folder, seed
        self.batches_read: Counter[str] = Counter()
        self.saves = self.die_at_save = 0
        self.without: Split | None = None

    def context(self, scope: Scope, **parts: Any) -> Context:
        """Return a context as the engine makes it, on the CPU.

        Args:
            scope: The stage, and the splits that may be read.
            parts: An evaluator or a distiller, already set up; a ``data`` replaces the partner.
        """
        space, runtime = self.subject.partners.space(), Runtime.create("cpu")

        def bare(**more: Any) -> Context:
            return Context(
                space=space,
                runtime=runtime,
                seed=self.seed,
                stage=scope.stage,
                slot=lambda name: FolderSlot(self.folder / f"{name}.safetensors", self),
                report=lambda values: None,
                **more,
            )

        if "data" not in parts:
            data = self.subject.partners.data()
            data.setup(bare())
            plugin = self.subject.plugin
            guarded = GuardedData(data, scope, f"{plugin.kind} {plugin.name!r}")
            parts["data"] = WatchedData(guarded, self.batches_read, self.without)
        return bare(**parts)

    def evaluator(self, scope: Scope) -> Evaluator[Any]:
        """Return the evaluator under test, set up as for a fresh process."""
        torch.manual_seed(derive_seed(self.seed, scope.stage))
        evaluator: Evaluator[Any] = self.subject.make()
        parts: dict[str, Any] = {}
        if self.subject.plugin.requires("evaluator"):
            parts["evaluator"] = self.subject.partners.evaluator()
            parts["evaluator"].setup(self.context(scope))
        evaluator.setup(self.context(scope, **parts))
        return evaluator


class SearchDriver:
    """Runs the searcher under test step by step, with the checkpoint of a real run after every step.

    Args:
        subject: The searcher and its partners.
        folder: Holds the slots.
        seed: The run's seed.
    """

    def __init__(self, subject: Subject, folder: Path, seed: int = 0) -> None:
        self.bench = Workbench(subject, folder, seed)
        torch.manual_seed(derive_seed(seed, SEARCH.stage))
        # A plugin that reads these two instead of a seeded generator is found out.
        random.seed(None)
        partners, plugin = subject.partners, subject.plugin
        parts: dict[str, Any] = {}
        if plugin.requires("evaluator"):
            parts["evaluator"] = partners.evaluator()
            parts["evaluator"].setup(self.bench.context(SEARCH))
        if plugin.requires("distiller"):
            parts["distiller"] = partners.distiller()
        self.evaluator: Component[Any] | None = parts.get("evaluator")
        self.searcher: Searcher[Any] = subject.make()
        self.searcher.setup(self.bench.context(SEARCH, **parts))
        self.steps = 0
        self.metrics: list[Mapping[str, float]] = []

    def step(self) -> None:
        """Make one step."""
        self.metrics.append(dict(self.searcher.step()))
        self.steps += 1

    def state(self) -> dict[str, Any]:
        """Return everything the next step depends on, as read back from disk."""
        return through_disk(
            {
                "steps": self.steps,
                "searcher": self.searcher.state_dict(),
                "evaluator": self.evaluator.state_dict() if self.evaluator else {},
                "random": random_state(torch.device("cpu")),
            },
            self.bench.folder,
        )

    def resume(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that another process left, generators last."""
        self.steps = state["steps"]
        if self.evaluator:
            self.evaluator.load_state_dict(state["evaluator"])
        self.searcher.load_state_dict(state["searcher"])
        set_random_state(torch.device("cpu"), state["random"])


def through_disk(state: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write a state as a checkpoint and read it back."""
    path = folder / "state.safetensors"
    try:
        checkpoint.write(path, state)
    except (TypeError, ValueError, RuntimeError) as error:
        require(False, f"state_dict() cannot be saved: {error}")
    return checkpoint.read(path)
