"""A candidate that cannot be evaluated is recorded as failed, and the search goes on."""

from __future__ import annotations

import math
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasforge.arch import Arch
from nasforge.errors import AccessError, NasforgeError, RunError
from nasforge.evaluator import Evaluation, Evaluator

__all__ = ["ATTEMPTS", "Failure", "Tolerant", "checked", "concerns_the_run", "reason_of", "say_again"]

ATTEMPTS = 2
"""How often a candidate is evaluated before it counts as failed."""

IN_A_ROW = 5
"""After how many failures in a row the search is stopped: then it is not the candidates that are wrong."""


@dataclass(frozen=True)
class Failure:
    """Why a candidate has no score.

    Attributes:
        reason: One line.
        seconds: What the attempts took.
        error: What was raised last, if it was raised in this process.
    """

    reason: str
    seconds: float = 0.0
    error: Exception | None = None


class Tolerant(Evaluator[Any]):
    """Evaluates by another evaluator, and survives a candidate that fails twice.

    Errors that concern the whole run (images that cannot be read, a table that lacks a column) are raised as
    they are; see `concerns_the_run`.

    Args:
        evaluator: Does the work; already set up.
    """

    def __init__(self, evaluator: Evaluator[Any]) -> None:
        super().__init__(evaluator.config)
        self.ctx, self._evaluator = evaluator.ctx, evaluator
        self._ready, self._failed_in_a_row = False, 0

    def prepare(self) -> None:
        """Prepare the other evaluator, once."""
        if not self._ready:
            self._evaluator.prepare()
            self._ready = True

    def check_budget(self, budget: int) -> None:
        """Ask the other evaluator."""
        self._evaluator.check_budget(budget)

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Return the evaluation of a candidate, or that it failed.

        Raises:
            RunError: Several candidates in a row have failed.
            NasforgeError: Something is wrong with the run rather than with the candidate.
        """
        self.prepare()
        found = self.attempt(arch, budget)
        if isinstance(found, Evaluation):
            self._failed_in_a_row = 0
            return found
        self._failed_in_a_row += 1
        if self._failed_in_a_row == IN_A_ROW:
            raise RunError(
                f"search: {IN_A_ROW} candidates in a row could not be evaluated. The last one: "
                f"{found.reason.rstrip('.')}. Once that is put right, the same command goes on from here."
            ) from found.error
        warnings.warn(
            f"search: candidate {arch.key} is recorded as failed ({found.reason}). The search goes on.",
            stacklevel=2,
        )
        return Evaluation(arch, -math.inf, found.seconds, failed=found.reason)

    def attempt(self, arch: Arch, budget: int | None) -> Evaluation | Failure:
        """Evaluate a candidate, twice if it must be; see `evaluate` for arguments and errors."""
        started = time.perf_counter()
        left = ATTEMPTS
        while True:
            left -= 1
            try:
                return checked(self._evaluator.evaluate(arch, budget=budget))
            except Exception as error:
                if concerns_the_run(error):
                    raise
                if not left:
                    return Failure(reason_of(error), time.perf_counter() - started, error)
                say_again(arch, reason_of(error))

    def summary(self) -> Mapping[str, float]:
        """Return the summary of the other evaluator."""
        return self._evaluator.summary()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the other evaluator."""
        return self._evaluator.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of the other evaluator."""
        self._evaluator.load_state_dict(state)


def checked(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation whose score is a number.

    Raises:
        RunError: It is not.
    """
    if not math.isfinite(evaluation.score):
        raise RunError(f"the score is {evaluation.score}, not a number to compare with others.")
    return evaluation


def concerns_the_run(error: BaseException) -> bool:
    """Return whether an error would be the same for every candidate, so that going on makes no sense.

    That is any error nasforge words itself, but `RunError`: a loss that is infinite belongs to a candidate.
    """
    return isinstance(error, AccessError) or (
        isinstance(error, NasforgeError) and not isinstance(error, RunError)
    )


def reason_of(error: BaseException) -> str:
    """Return an error as one line; with the place in the code if nobody raised it on purpose."""
    message = " ".join(str(error).split())
    if isinstance(error, NasforgeError):
        return message
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{where}"


def say_again(arch: Arch, reason: str) -> None:
    """Warn that a candidate is evaluated once more."""
    warnings.warn(f"search: candidate {arch.key}: {reason} It is evaluated once more.", stacklevel=3)
