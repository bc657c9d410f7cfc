"""The state of a training as it is stored: complete or not, its last epochs, its learning curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasforge.arch import Arch
from nasforge.evaluator import Evaluation
from nasforge.training.epochs import EpochTraining
from nasforge_plugins.evaluators.train.stopping import EarlyStopping

__all__ = ["is_complete", "kept_epochs", "on_curve", "stopped_state"]


def on_curve(arch: Arch, state: Mapping[str, Any], until: int) -> Evaluation:
    """Return the evaluation after some epochs of a training that may have gone on since."""
    point = state["curve"][until - 1]
    before = max((asked for asked in state["asked"] if asked < until), default=0)
    paid = state["curve"][before - 1]["seconds"] if before else 0.0
    cost = point["seconds"] - paid if until in state["asked"] else 0.0
    return Evaluation(arch, point["score"], cost, point["metrics"])


def is_complete(state: Mapping[str, Any], epochs: int) -> bool:
    """Return whether a training has made so many epochs, or was stopped early."""
    return bool(state["epoch"] >= epochs or state.get("stopped", False))


def kept_epochs(settings: Mapping[str, Any]) -> range:
    """Return the epochs, from 1, whose weights are kept."""
    epochs = settings["epochs"]
    return range(max(1, epochs - settings["options"]["keep_epochs"] + 1), epochs + 1)


def stopped_state(
    before: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    training: EpochTraining,
    seconds: float,
    stopping: EarlyStopping | None,
) -> dict[str, Any]:
    """Return the state of a training that stops inside an epoch.

    Args:
        before: The state after the epoch before; None in the first epoch.
        settings: Options that the training belongs to.
        training: The training.
        seconds: Wall-clock time so far.
        stopping: Early stopping, if there is any.
    """
    state = {"settings": settings, "epoch": 0} if before is None else before
    now = {"training": training.state_dict(), "position": training.position()}
    stop = {} if stopping is None else {"stop": stopping.state_dict()}
    return {**state, "seconds": seconds, **now, **stop}
