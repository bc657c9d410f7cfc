"""The only loop over search steps: it reports and checkpoints, and knows no gradients or populations."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nasforge.component import Stage
from nasforge.evaluator import Evaluator
from nasforge.files import read_json, write_json
from nasforge.observer import Observer
from nasforge.runs.folder import MetricsLog
from nasforge.runtime import checkpoint
from nasforge.searcher import Searcher
from nasforge.training.loops import random_state, set_random_state

__all__ = ["Engine", "StageClock"]


class StageClock:
    """Seconds spent in a stage, over all processes that worked on it.

    Args:
        path: Where the sum is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = float(read_json(path)["seconds"]) if path.exists() else 0.0
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Return the sum so far."""
        return self._before + time.monotonic() - self._start

    def save(self) -> None:
        """Write the sum; time since the last save is lost in a crash."""
        write_json(self._path, {"seconds": round(self.seconds(), 3)})


class Engine:
    """Runs a searcher, already set up, from wherever its checkpoint stands.

    Args:
        searcher: Owns the steps.
        evaluator: Checkpointed beside the searcher, if there is one.
        path: The checkpoint file.
        metrics: Receives a row per step.
        observer: Told about every step.
        clock: Saved with every step.
    """

    stage: Stage = "search"

    def __init__(
        self,
        searcher: Searcher[Any],
        evaluator: Evaluator[Any] | None,
        path: Path,
        metrics: MetricsLog,
        observer: Observer[Any],
        clock: StageClock,
    ) -> None:
        self.searcher, self.evaluator, self.path = searcher, evaluator, path
        self.metrics, self.observer, self.clock = metrics, observer, clock
        self.steps = 0

    def run(self) -> None:
        """Step until the searcher is done, with a checkpoint after every step.

        Raises:
            CheckpointError: A checkpoint exists but cannot be read, or does not fit the parts.
        """
        if (state := checkpoint.load(self.path)) is not None:
            self.load_state_dict(state)
        self.metrics.forget(lambda row: row.get("stage") != self.stage or row["step"] <= self.steps)
        self.observer.stage_start(self.stage, self.steps, self.searcher.total_steps)
        space = self.searcher.ctx.space
        while not self.searcher.done:
            metrics = dict(self.searcher.step())
            self.steps += 1
            arch = space.notation(self.searcher.best())
            # The row goes first: if the checkpoint is not written, resuming drops the row with the step.
            self.metrics.append({"stage": self.stage, "step": self.steps, **metrics, "arch": arch})
            checkpoint.save(self.path, self.state_dict())
            self.clock.save()
            self.observer.step(self.stage, self.steps, metrics, arch)

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next step depends on."""
        return {
            "steps": self.steps,
            "searcher": self.searcher.state_dict(),
            "evaluator": self.evaluator.state_dict() if self.evaluator else {},
            "random": random_state(self.searcher.ctx.runtime.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the parts, and the random generators last: building parts draws from them."""
        self.steps = state["steps"]
        if self.evaluator:
            self.evaluator.load_state_dict(state["evaluator"])
        self.searcher.load_state_dict(state["searcher"])
        set_random_state(self.searcher.ctx.runtime.device, state["random"])
