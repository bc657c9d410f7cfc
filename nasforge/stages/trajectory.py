"""Trajectory of a search for reports: option weights and evaluations after every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nasforge.confirm import ConfirmedSearcher
from nasforge.evaluator import Evaluation
from nasforge.runs.folder import MetricsLog
from nasforge.searcher import AskTellSearcher, Searcher

__all__ = ["Trajectory"]

DIGITS = 4
"""Decimals of an option weight: a picture shows no more."""


class Trajectory:
    """``trajectory.jsonl``: a row per step with ``step``, ``seconds``, ``weights`` and ``evaluated``.

    Weights that did not change since the row before are left out. No result depends on this file.

    Args:
        log: The file.
    """

    def __init__(self, log: MetricsLog) -> None:
        self._log = log
        self._weights: dict[str, list[float]] = {}
        self._told = 0

    def begin(self, step: int, searcher: Searcher[Any]) -> None:
        """Drop the rows of later steps, which a restart repeats.

        Args:
            step: Number of steps in the checkpoint.
            searcher: The searcher after them.
        """
        self._log.forget(lambda row: row["step"] <= step)
        self._weights, self._told = {}, len(_history(searcher))

    def append(self, step: int, seconds: float, searcher: Searcher[Any]) -> None:
        """Add the row of a step.

        Args:
            step: Number of finished steps.
            seconds: Wall-clock time of the stage so far.
            searcher: The searcher after the step.
        """
        row: dict[str, Any] = {"step": step, "seconds": round(seconds, 3)}
        weights = {
            name: [round(float(weight), DIGITS) for weight in values]
            for name, values in searcher.option_weights().items()
        }
        if weights != self._weights:
            row["weights"] = self._weights = weights
        if (evaluation := self._newest(searcher)) is not None:
            found = evaluation.to_json()
            del found["arch"]
            row["evaluated"] = {"notation": searcher.ctx.space.notation(evaluation.arch), **found}
        self._log.append(row)

    def _newest(self, searcher: Searcher[Any]) -> Evaluation | None:
        """Return the evaluation of the last step, unless it made none."""
        history = _history(searcher)
        if len(history) == self._told:
            return None
        self._told = len(history)
        return history[-1]


def _history(searcher: Searcher[Any]) -> Sequence[Evaluation]:
    inner = searcher.inner if isinstance(searcher, ConfirmedSearcher) else searcher
    return inner.history if isinstance(inner, AskTellSearcher) else ()
