"""The train stage: trains the found architecture from scratch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.component import Work
from nasforge.evaluator import Effort, KeepsNetwork
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import inputs_of
from nasforge.runs.network import WEIGHTS
from nasforge.runs.scope import DERIVE, TRAIN
from nasforge.stages.stage import Stage

if TYPE_CHECKING:
    from nasforge.stages.runner import Run
    from nasforge.stages.trial import TrialRun

__all__ = ["Train"]


class Train(Stage):
    """Trains the network of the found architecture, and stores its weights if the evaluator keeps them."""

    scope = TRAIN
    shared = True

    def needed(self, tables: Collection[str]) -> bool:
        """Return whether the recipe has a ``[train]`` table."""
        return "train" in tables

    def inputs(self, run: Run) -> dict[str, Any]:
        """Return the architecture, and the tables that its training depends on."""
        architecture = run.results[DERIVE.stage]["architecture"]
        return {"architecture": architecture, **inputs_of(run.resolved, "data", "space", "train")}

    def run(self, run: Run, clock: StageClock) -> dict[str, Any]:
        """Train and store the network."""
        from nasforge.runs.inputs import describe_images
        from nasforge.runtime import checkpoint

        derived = run.results[DERIVE.stage]
        evaluator = run.trainer(self.scope, clock)
        arch = Arch(derived["architecture"])
        evaluation = evaluator.evaluate(arch)
        if isinstance(evaluator, KeepsNetwork):
            path = run.folder.stage(self.name) / WEIGHTS
            about = {"space": run.resolved["space"], "architecture": arch.to_json(), "task": derived["task"]}
            if "data" in run.recipe.parts:
                about |= describe_images(run.data)
            weights = evaluator.network(arch).state_dict()
            if run.folder.writes:
                checkpoint.save_weights(path, weights, about)
        return evaluation.to_json()

    def workload(self, trial: TrialRun) -> Sequence[Work] | None:
        """Return the work of the trainer: for the found architecture, or the mean over random ones."""
        evaluator = trial.trainer(self.scope)
        return trial.mean_work(lambda arch: evaluator.workload(arch, Effort()), evaluator)
