"""Early stopping of a training by held-out training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasforge.training.loops import Scores
from nasforge_plugins.evaluators.train.options import StopOptions

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Finds the best epoch so far, and tells when there was none for long (Prechelt, 1998).

    Args:
        options: Measure and patience.

    Attributes:
        epoch: The best epoch, counted from 1; 0 before the first.
        best: Its scores.
    """

    def __init__(self, options: StopOptions) -> None:
        self._options = options
        self.epoch, self.best = 0, Scores(float("inf"), float("-inf"))

    def improves(self, epoch: int, scores: Scores) -> bool:
        """Take in the scores of an epoch; return whether it is the best so far.

        Args:
            epoch: From 1.
            scores: On the held-out images.
        """
        if self._options.metric == "loss":
            gain = self.best.loss - scores.loss
        else:
            gain = scores.accuracy - self.best.accuracy
        if gain <= self._options.min_gain:
            return False
        self.epoch, self.best = epoch, scores
        return True

    def over(self, epoch: int) -> bool:
        """Return whether the last ``patience`` epochs up to this one, counted from 1, were no better."""
        return epoch - self.epoch >= self._options.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch and its scores."""
        return {"epoch": self.epoch, **self.best._asdict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.epoch, self.best = state["epoch"], Scores(state["loss"], state["accuracy"])
