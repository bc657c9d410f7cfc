"""The state of a training as it is stored: complete or not, its last epochs, its learning curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasforge.arch import Arch
from nasforge.evaluator import Evaluation

__all__ = ["is_complete", "kept_epochs", "on_curve"]


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
