"""The test stage: measures the trained network on the test images."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from nasforge.arch import Arch
from nasforge.data import DataModule
from nasforge.evaluator import KeepsNetwork
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import PREDICTIONS
from nasforge.runs.scope import DERIVE, TEST, TRAIN
from nasforge.stages.stage import Stage

if TYPE_CHECKING:
    from torch import nn

    from nasforge.stages.runner import Run

__all__ = ["Test"]

BATCH = 256
"""Images per batch of the predictions that are recorded."""


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
        from nasforge.runs.inputs import describe_images

        derived = run.results[DERIVE.stage]
        evaluator, arch = run.trainer(self.scope, clock), Arch(derived["architecture"])
        metrics = evaluator.test(arch)
        if isinstance(evaluator, KeepsNetwork):
            _record_predictions(run, evaluator.network(arch), evaluator.ctx.data)
        described = {k: v for k, v in derived.items() if k not in ("fingerprint", "seconds", "stage")}
        seconds = {stage: result["seconds"] for stage, result in run.results.items()}
        seconds[self.name] = round(clock.seconds(), 3)
        images = describe_images(run.data) if "data" in run.recipe.parts else {}
        return {**described, **metrics, **images, "seconds_per_stage": seconds}

    def numbers(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the measured accuracies, and the costs of the network."""
        return result


def _record_predictions(run: Run, network: nn.Module, data: DataModule[Any] | None) -> None:
    """Write what the network gets wrong. It is for reports: a failure is a warning."""
    from nasforge.stages.predictions import describe_predictions

    if data is None:
        return
    try:
        size = min(BATCH, data.sizes()["test"])
        batches = data.batches("test", augment=False, batch_size=size)
        found = describe_predictions(network, batches, run.runtime, data.preprocessing)
    except Exception as error:
        warnings.warn(f"{TEST.stage}: the predictions were not recorded: {error!r}", stacklevel=2)
        return
    run.folder.store_file(TEST.stage, PREDICTIONS, found)
