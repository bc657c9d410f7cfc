"""The test stage: measures the trained network on the test images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.runs.clock import StageClock
from nasforge.runs.scope import DERIVE, TEST, TRAIN
from nasforge.stages.stage import Stage

if TYPE_CHECKING:
    from nasforge.stages.runner import Run

__all__ = ["Test"]


class Test(Stage):
    """Measures the trained network. No other stage may read the test images."""

    __test__ = False  # not a class of tests
    scope = TEST
    compared = True

    def needed(self, tables: Collection[str]) -> bool:
        """Return whether the recipe has a ``[train]`` table."""
        return "train" in tables

    def inputs(self, run: Run) -> dict[str, Any]:
        """Return the fingerprint of the training."""
        return {TRAIN.stage: run.results[TRAIN.stage]["fingerprint"]}

    def run(self, run: Run, clock: StageClock) -> dict[str, Any]:
        """Measure the network, and sum up the whole run."""
        from nasforge.runs.guard import GuardedData
        from nasforge.runs.inputs import describe_images

        derived = run.results[DERIVE.stage]
        trainer = run.trainer(self.scope, clock)
        metrics = trainer.test(Arch(derived["architecture"]))
        described = {k: v for k, v in derived.items() if k not in ("fingerprint", "seconds", "stage")}
        seconds = {stage: result["seconds"] for stage, result in run.results.items()}
        seconds[self.name] = round(clock.seconds(), 3)
        images = describe_images(run.data) if "data" in run.recipe.parts else {}
        if isinstance(trainer.ctx.data, GuardedData) and (size := trainer.ctx.data.batch_sizes.get("test")):
            images["test_batch_size"] = size  # with the same batches, a prediction has the same bits
        return {**described, **metrics, **images, "seconds_per_stage": seconds}

    def numbers(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the measured accuracies, and the costs of the network."""
        return result
