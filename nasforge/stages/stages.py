"""The stages of a run: they meet through files, so each can be skipped, repeated or resumed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from nasforge.arch import Arch
from nasforge.component import Stage
from nasforge.errors import RunError
from nasforge.evaluator import KeepsNetwork
from nasforge.observer import Observer
from nasforge.parallel.start import evaluating
from nasforge.recipe import Recipe
from nasforge.runs.assembly import Assembly
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import RunFolder, fingerprint, inputs_of
from nasforge.runs.limits import fingerprint_of, refuse_impossible
from nasforge.runs.scope import TEST, TRAIN
from nasforge.runtime import Runtime, checkpoint
from nasforge.searcher import AskTellSearcher, Searcher
from nasforge.space import NetworkSpace
from nasforge.stages.engine import Engine

__all__ = ["Stages"]


class Stages(Assembly):
    """Does the stages of one run in order; a stage whose inputs have not changed is skipped.

    Args:
        recipe: What to do.
        folder: Where results are.
        runtime: Where to compute.
        observer: Told about everything.

    Attributes:
        skipped: Stages that were done before.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, runtime: Runtime, observer: Observer) -> None:
        super().__init__(recipe, folder, runtime, observer)
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
        evaluator = self.trainer(TRAIN, clock)
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
        metrics = self.trainer(TEST, clock).test(Arch(derived["architecture"]))
        described = {k: v for k, v in derived.items() if k not in ("fingerprint", "seconds", "stage")}
        seconds = {stage: result["seconds"] for stage, result in before.items()}
        result = {**described, **metrics, "seconds_per_stage": {**seconds, "test": round(clock.seconds(), 3)}}
        return self._finish("test", mark, clock, result)

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
