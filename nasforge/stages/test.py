"""The test stage: measures the trained network on the test images."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.component import Work
from nasforge.data import DataModule
from nasforge.evaluator import KeepsNetwork
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import PREDICTIONS
from nasforge.runs.scope import DERIVE, TEST, TRAIN
from nasforge.stages.stage import Stage

if TYPE_CHECKING:
    from torch import nn

    from nasforge.stages.runner import Run
    from nasforge.stages.trial import TrialRun

__all__ = ["Test"]

BATCH = 256
"""Images per batch of the predictions that are recorded, where the trainer leaves that to the data."""


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
        trainer, arch = run.trainer(self.scope, clock), Arch(derived["architecture"])
        metrics = trainer.test(arch)
        described = {k: v for k, v in derived.items() if k not in ("fingerprint", "seconds", "stage")}
        seconds = {stage: result["seconds"] for stage, result in run.results.items()}
        seconds[self.name] = round(clock.seconds(), 3)
        images = describe_images(run.data) if "data" in run.recipe.parts else {}
        if isinstance(trainer.ctx.data, GuardedData) and (size := trainer.ctx.data.batch_sizes.get("test")):
            images["test_batch_size"] = size  # with the same batches, a prediction has the same bits
        if isinstance(trainer, KeepsNetwork):
            _record_predictions(
                run, trainer.network(arch), trainer.ctx.data, images.get("test_batch_size", BATCH)
            )
        return {**described, **metrics, **images, "seconds_per_stage": seconds}

    def workload(self, trial: TrialRun) -> Sequence[Work] | None:
        """Return the work of the measurement, timed on training images: test images stay locked."""
        trainer = trial.trainer(TRAIN)
        return trial.mean_work(trainer.test_workload, trainer)

    def numbers(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the measured accuracies, and the costs of the network."""
        return result


def _record_predictions(run: Run, network: nn.Module, data: DataModule[Any] | None, size: int) -> None:
    """Write what the network gets wrong. It is for reports: a failure is a warning.

    With the batches of the measurement, the confusions add up to its accuracy to the last image.
    """
    from nasforge.stages.predictions import describe_predictions

    if data is None:
        return
    try:
        batches = data.batches("test", augment=False, batch_size=min(size, data.sizes()["test"]))
        found = describe_predictions(network, batches, run.runtime, data.preprocessing)
    except Exception as error:
        warnings.warn(f"{TEST.stage}: the predictions were not recorded: {error!r}", stacklevel=2)
        return
    run.folder.store_file(TEST.stage, PREDICTIONS, found)
