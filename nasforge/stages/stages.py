"""The stages of a run: they meet through files, so each can be skipped, repeated or resumed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from nasforge.arch import Arch
from nasforge.component import Context, Stage
from nasforge.constraints import Constraints
from nasforge.data import DataModule
from nasforge.errors import RunError
from nasforge.evaluator import Evaluator, KeepsNetwork
from nasforge.observer import Observer
from nasforge.parallel.start import evaluating
from nasforge.recipe import Recipe
from nasforge.runs.build import build
from nasforge.runs.folder import RunFolder, fingerprint, inputs_of
from nasforge.runs.guard import GuardedData
from nasforge.runs.inputs import published_task, read_images
from nasforge.runs.limits import fingerprint_of, make_constraints, refuse_impossible
from nasforge.runs.network import load_network
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import AskTellSearcher, Searcher
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace, SearchSpace, Task
from nasforge.stages.engine import Engine, StageClock

__all__ = ["Stages"]


class Stages:
    """Does the stages of one run in order; a stage whose inputs have not changed is skipped.

    Args:
        recipe: What to do.
        folder: Where results are.
        runtime: Where to compute.
        observer: Told about everything.

    Attributes:
        skipped: Stages that were done before.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, runtime: Runtime, observer: Observer[Any]) -> None:
        self.recipe, self.folder, self.runtime, self.observer = recipe, folder, runtime, observer
        self.resolved = recipe.resolved()
        self.seed = recipe.run.seed
        self.skipped: list[Stage] = []

    def run(self) -> dict[Stage, dict[str, Any]]:
        """Do or skip every stage and return their results."""
        results: dict[Stage, dict[str, Any]] = {"search": self.search()}
        results["derive"] = self.derive(results["search"])
        if "train" in self.recipe.parts:
            results["train"] = self.train(results["derive"])
            results["test"] = self.test(results)
        return results

    def search(self) -> dict[str, Any]:
        """Run the searcher; the result holds its architecture and Pareto front."""
        inputs = inputs_of(self.resolved, "data", "space", "searcher", "distiller", "evaluator")
        inputs |= fingerprint_of(self.recipe.constraints)
        if done := self._skip("search", mark := fingerprint(inputs)):
            return done
        refuse_impossible(self.recipe, self.constraints, self.space, self.task)
        clock = self._begin("search", mark)
        with ExitStack() as stack:
            searcher, evaluator = self.assemble(
                lambda one: stack.enter_context(evaluating(one, self.recipe.run, self.folder, self.runtime))
            )
            path = self.folder.stage("search") / "checkpoint.safetensors"
            engine = Engine(searcher, evaluator, path, self.folder.metrics, self.observer, clock)
            engine.run()
        failed = self._failures(searcher)
        front = [arch.to_json() for arch in searcher.front()]
        result = {"steps": engine.steps, "architecture": searcher.best().to_json(), "front": front}
        if failed:
            result["failed"] = failed
        if remarks := searcher.summary():
            result["searcher"] = dict(remarks)
        if evaluator is not None and (summary := evaluator.summary()):
            result["evaluator"] = dict(summary)
        return self._finish("search", mark, clock, result)

    def assemble(
        self, wrap: Callable[[Evaluator[Any]], Evaluator[Any]] = lambda evaluator: evaluator
    ) -> tuple[Searcher[Any], Evaluator[Any] | None]:
        """Seed torch, and set up everything that a search needs.

        Args:
            wrap: Puts something between the searcher and its evaluator, such as a meter.

        Returns:
            The searcher before its first step, and the evaluator it asks, if there is one.
        """
        torch.manual_seed(derive_seed(self.seed, "search"))
        evaluator: Evaluator[Any] | None = None
        if "evaluator" in self.recipe.parts:
            evaluator = wrap(self.search_evaluator())
        searcher: Searcher[Any] = self._built("searcher")
        distiller = self._built("distiller") if "distiller" in self.recipe.parts else None
        searcher.setup(self._context("search", "searcher", evaluator=evaluator, distiller=distiller))
        return searcher, evaluator

    def search_evaluator(self) -> Evaluator[Any]:
        """Set up the evaluator of a search, and the one it builds on, if there is one."""
        base: Evaluator[Any] | None = None
        if "evaluator.base" in self.recipe.parts:
            base = self._built("evaluator.base")
            base.setup(self._context("search", "evaluator.base"))
        evaluator: Evaluator[Any] = self._built("evaluator")
        evaluator.setup(self._context("search", "evaluator", evaluator=base))
        return evaluator

    def derive(self, searched: Mapping[str, Any]) -> dict[str, Any]:
        """Write down the architecture: notation, size, and what a table knows about it."""
        mark = fingerprint(
            {
                "architecture": searched["architecture"],
                **inputs_of(self.resolved, "space", "data"),
                **fingerprint_of(self.recipe.constraints),
            }
        )
        if done := self._skip("derive", mark):
            return done
        clock = self._begin("derive", mark)
        self.observer.stage_start("derive", 0, None)
        result = self._describe(Arch(searched["architecture"]))
        front = [self._describe(Arch(arch)) for arch in searched["front"]]
        self.folder.store_file("derive", "arch.json", result)
        self.folder.store_file("derive", "front.json", {"front": front})
        return self._finish("derive", mark, clock, result)

    def train(self, derived: Mapping[str, Any]) -> dict[str, Any]:
        """Train the architecture from scratch and store its weights."""
        mark = self._train_fingerprint(derived)
        if done := self._skip("train", mark):
            return done
        clock = self._begin("train", mark)
        self.observer.stage_start("train", 0, None)
        evaluator = self._trainer("train", clock)
        arch = Arch(derived["architecture"])
        evaluation = evaluator.evaluate(arch)
        if isinstance(evaluator, KeepsNetwork):
            network = evaluator.network(arch)
            path = self.folder.stage("train") / "weights.safetensors"
            about = {"space": self.resolved["space"], "architecture": arch.to_json(), "task": derived["task"]}
            checkpoint.save_weights(path, network.state_dict(), about)
        return self._finish("train", mark, clock, evaluation.to_json())

    def test(self, before: Mapping[Stage, Mapping[str, Any]]) -> dict[str, Any]:
        """Measure the trained network on the test images: the only place that reads them."""
        derived, trained = before["derive"], before["train"]
        mark = fingerprint({"train": trained["fingerprint"]})
        if done := self._skip("test", mark):
            return done
        clock = self._begin("test", mark)
        self.observer.stage_start("test", 0, None)
        metrics = self._trainer("test", clock).test(Arch(derived["architecture"]))
        described = {k: v for k, v in derived.items() if k not in ("fingerprint", "seconds", "stage")}
        seconds = {stage: result["seconds"] for stage, result in before.items()}
        result = {**described, **metrics, "seconds_per_stage": {**seconds, "test": round(clock.seconds(), 3)}}
        return self._finish("test", mark, clock, result)

    @cached_property
    def space(self) -> SearchSpace[Any]:
        """The search space, shared by all stages."""
        space: SearchSpace[Any] = self._built("space")
        return space

    @cached_property
    def data(self) -> DataModule[Any]:
        """The images, loaded when first needed and shared by all stages; never lent unguarded."""
        return read_images(self.recipe, self.space, self.runtime)

    @cached_property
    def task(self) -> Task:
        """Input and output sizes: those of the images, else of the space's published networks."""
        return self.data.task if "data" in self.recipe.parts else published_task(self.space)

    @cached_property
    def constraints(self) -> Constraints:
        """The limits of the recipe, and what architectures of its space cost."""
        config, space = self.recipe.constraints, self.resolved["space"]
        return make_constraints(config, self.space, self.task, self.runtime, space, self.folder.path)

    def _built(self, table: str) -> Any:
        return build(self.recipe.parts[table])

    def _trainer(self, stage: Stage, clock: StageClock) -> Evaluator[Any]:
        evaluator: Evaluator[Any] = self._built("train")
        distiller = self._built("train.distiller") if "train.distiller" in self.recipe.parts else None
        evaluator.setup(self._context(stage, "train", distiller=distiller, clock=clock))
        return evaluator

    def _context(self, stage: Stage, table: str, clock: StageClock | None = None, **parts: Any) -> Context:
        reader = f"{table} {self.recipe.parts[table].plugin.name!r}"

        def log(split: str) -> None:
            self.folder.log_access({"stage": stage, "reader": reader, "split": split})

        def record(epoch: int, metrics: Mapping[str, float]) -> None:
            if stage == "search":  # the searcher's steps are what a search counts
                return
            rows = self.folder.metrics
            rows.forget(lambda row: row.get("stage") != stage or row["step"] < epoch)
            rows.append({"stage": stage, "step": epoch, **metrics})
            self.observer.step(stage, epoch, metrics, None)

        # The test stage reads what the train stage kept.
        slots = self.folder.stage("train" if stage == "test" else stage) / "slots"
        return Context(
            space=self.space,
            runtime=self.runtime,
            seed=self.seed,
            stage=stage,
            slot=lambda name: FileSlot(slots, name, clock),
            report=lambda values: self.observer.progress(stage, values),
            record=record,
            data=GuardedData(self.data, stage, reader, log) if "data" in self.recipe.parts else None,
            constraints=self.constraints,
            load_network=load_network,
            **parts,
        )

    def _train_fingerprint(self, derived: Mapping[str, Any]) -> str:
        return fingerprint(
            {"architecture": derived["architecture"], **inputs_of(self.resolved, "data", "space", "train")}
        )

    def _describe(self, arch: Arch) -> dict[str, Any]:
        described: dict[str, Any] = {
            "architecture": arch.to_json(),
            "key": arch.key,
            "notation": self.space.notation(arch),
        }
        if isinstance(self.space, NetworkSpace):
            described |= self.constraints.cost(arch)
            described["task"] = asdict(self.task)
        if excess := self.constraints.excess(arch):
            described["over_limit"] = excess
        if looked_up := self.space.lookup(arch, test=True):
            described["looked_up"] = dict(looked_up)
        return described

    def _failures(self, searcher: Searcher[Any]) -> list[dict[str, Any]]:
        history = searcher.history if isinstance(searcher, AskTellSearcher) else []
        failed = [e for e in history if e.failed]
        if failed and len(failed) == len(history):
            raise RunError(f"search: no candidate could be evaluated. The last one: {failed[-1].failed}")
        return [
            {"architecture": e.arch.to_json(), "notation": self.space.notation(e.arch), "reason": e.failed}
            for e in failed
        ]

    def _skip(self, stage: Stage, mark: str) -> dict[str, Any] | None:
        done = self.folder.result(stage, mark)
        if done is not None:
            self.skipped.append(stage)
            self.observer.stage_end(stage, done, True)
        return done

    def _begin(self, stage: Stage, mark: str) -> StageClock:
        self.folder.begin(stage, mark)
        return StageClock(self.folder.stage(stage) / "clock.json")

    def _finish(
        self, stage: Stage, mark: str, clock: StageClock, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        stored = {"stage": stage, **result, "seconds": round(clock.seconds(), 3), "fingerprint": mark}
        self.folder.store(stage, stored)
        self.observer.stage_end(stage, stored, False)
        return stored


class FileSlot:
    """A partial checkpoint of a stage, in a file of its own.

    Args:
        folder: Holds the slots of a stage.
        name: The slot's name.
        clock: Saved along, so that a restart knows the seconds spent.
    """

    def __init__(self, folder: Path, name: str, clock: StageClock | None = None) -> None:
        if not re.fullmatch(r"[\w.-]+", name):
            raise RunError(f"slot {name!r}: a name has letters, digits, '.', '_' and '-' only.")
        self._path = folder / f"{name}.safetensors"
        self._clock = clock

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state``; the one before is kept as a fall-back."""
        checkpoint.save(self._path, state)
        if self._clock:
            self._clock.save()

    def load(self) -> dict[str, Any] | None:
        """Return the newest state that can be read."""
        return checkpoint.load(self._path)

    def delete(self) -> None:
        """Remove every generation."""
        for path in (self._path, checkpoint.previous(self._path)):
            path.unlink(missing_ok=True)
