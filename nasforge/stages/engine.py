"""The loop over search steps: reports and checkpoints them, and knows nothing of gradients or populations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasforge.evaluator import Evaluator
from nasforge.observer import Observer
from nasforge.runs.clock import StageClock
from nasforge.runs.folder import MetricsLog
from nasforge.runtime import checkpoint
from nasforge.searcher import Searcher
from nasforge.stages.trajectory import Trajectory
from nasforge.training.loops import random_state, set_random_state
from nasforge.training.stopping import Stopped, check_stop

__all__ = ["Engine", "describe_state", "restore_state"]


class Engine:
    """Runs a searcher, already set up, from its checkpoint or from the start.

    Args:
        stage: Name of the stage in metrics and events.
        searcher: Owns the steps.
        evaluator: Checkpointed beside the searcher, if there is one.
        path: The checkpoint file.
        metrics: Receives a row per step.
        trajectory: Receives option weights and evaluations of each step.
        observer: Receives an event per step.
        clock: Saved with every step.
    """

    def __init__(
        self,
        stage: str,
        searcher: Searcher[Any],
        evaluator: Evaluator[Any] | None,
        path: Path,
        metrics: MetricsLog,
        trajectory: Trajectory,
        observer: Observer[Any],
        clock: StageClock,
    ) -> None:
        self.stage, self.searcher, self.evaluator, self.path = stage, searcher, evaluator, path
        self.metrics, self.trajectory, self.observer, self.clock = metrics, trajectory, observer, clock
        self.steps = 0

    def run(self) -> None:
        """Step until the searcher is done, with a checkpoint after every step.

        Raises:
            CheckpointError: A checkpoint exists but cannot be read, or does not fit the parts.
            Stopped: A stop was requested; everything is saved.
        """
        shards = self.searcher.ctx.runtime.shards
        if (state := shards.main_first(lambda: checkpoint.load(self.path))) is not None:
            self.load_state_dict(state)
        self.metrics.forget(lambda row: row.get("stage") != self.stage or row["step"] <= self.steps)
        self.trajectory.begin(self.steps, self.searcher)
        self.observer.stage_start(self.stage, self.steps, self.searcher.total_steps)
        space = self.searcher.ctx.space
        while not self.searcher.done:
            self._check_stop()
            metrics = self._step()
            self.steps += 1
            arch = space.notation(self.searcher.best())
            # The row goes first: if the checkpoint is not written, resuming drops the row with the step.
            self.metrics.append({"stage": self.stage, "step": self.steps, **metrics, "arch": arch})
            self.trajectory.append(self.steps, self.clock.seconds(), self.searcher)
            if shards.is_main:
                checkpoint.save(self.path, self.state_dict())
                self.clock.save()
            shards.wait()
            self.observer.step(self.stage, self.steps, metrics, arch)

    def _check_stop(self) -> None:
        """Stop between two steps if that was requested; evaluations of workers are waited for and saved."""
        try:
            check_stop()
        except Stopped as stop:
            if self.evaluator is not None and self.evaluator.halt(stop.reason):
                self._save_stopped(self.state_dict())
            raise

    def _step(self) -> dict[str, float]:
        """Make a step; if the search stops in the middle of it, save what has been done of it."""
        try:
            return dict(self.searcher.step())
        except Stopped as stop:
            self._save_stopped(self.state_dict() if stop.within_step else None)
            raise

    def _save_stopped(self, state: dict[str, Any] | None) -> None:
        shards = self.searcher.ctx.runtime.shards
        if shards.is_main:
            if state is not None:
                checkpoint.save(self.path, state)
            self.clock.save()
        shards.wait()

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next step depends on."""
        return describe_state(self.steps, self.searcher, self.evaluator)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the parts, and the random generators last: building parts draws from them."""
        self.steps = restore_state(state, self.searcher, self.evaluator)


def describe_state(steps: int, searcher: Searcher[Any], evaluator: Evaluator[Any] | None) -> dict[str, Any]:
    """Return everything that the next step of a search depends on.

    Args:
        steps: Number of finished steps.
        searcher: The searcher.
        evaluator: Its evaluator, if there is one.
    """
    return {
        "steps": steps,
        "searcher": searcher.state_dict(),
        "evaluator": evaluator.state_dict() if evaluator else {},
        "random": random_state(searcher.ctx.runtime.device),
    }


def restore_state(state: dict[str, Any], searcher: Searcher[Any], evaluator: Evaluator[Any] | None) -> int:
    """Restore what `describe_state` returned, the random generators last; return the number of steps.

    Args:
        state: The state.
        searcher: A searcher that has been set up.
        evaluator: Its evaluator, if there is one.
    """
    if evaluator:
        evaluator.load_state_dict(state["evaluator"])
    searcher.load_state_dict(state["searcher"])
    set_random_state(searcher.ctx.runtime.device, state["random"])
    return int(state["steps"])
