"""Failed evaluations: recorded as such, so that the search continues."""

from __future__ import annotations

import errno
import math
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasforge.arch import Arch
from nasforge.errors import AccessError, NasforgeError, RunError, describe_system_error
from nasforge.evaluator import Evaluation, Evaluator, RepeatedTraining

__all__ = [
    "AHEAD",
    "ATTEMPTS",
    "Failure",
    "Tolerant",
    "check_score",
    "describe_error",
    "evaluate_repeat",
    "is_fatal",
    "warn_retry",
]

ATTEMPTS = 2
"""Evaluations of a candidate before it counts as failed."""

AHEAD = "ahead"
"""Entry of the state for evaluations that workers had made before their turn."""

FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS})
"""Errors of a place that takes no more files, such as a full disk: a training cannot store its state then."""

IN_A_ROW = 5
"""Failures in a row after which the search stops: then the fault is not in the candidates."""


@dataclass(frozen=True)
class Failure:
    """A candidate without a score.

    Attributes:
        reason: One line.
        seconds: Wall-clock time of all attempts.
        error: The last exception, if it was raised in this process.
    """

    reason: str
    seconds: float = 0.0
    error: Exception | None = None


class Tolerant(Evaluator[Any]):
    """Wraps an evaluator and survives candidates that fail twice.

    Errors that concern the whole run (images that cannot be read, a table that lacks a column) are raised as
    they are; see `is_fatal`.

    Args:
        evaluator: The evaluator to wrap; already set up.
    """

    def __init__(self, evaluator: Evaluator[Any]) -> None:
        super().__init__(evaluator.config)
        self.ctx, self._evaluator = evaluator.ctx, evaluator
        self._ready, self._failed_in_a_row = False, 0
        self.ahead: dict[tuple[Arch, int | None, int], Evaluation] = {}

    def prepare(self) -> None:
        """Prepare the wrapped evaluator, once."""
        if not self._ready:
            self._evaluator.prepare()
            self._ready = True

    def check_budget(self, budget: int) -> None:
        """Check an effort with the wrapped evaluator."""
        self._evaluator.check_budget(budget)

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Return the evaluation of a candidate, which may be a failed one.

        Raises:
            RunError: Several candidates in a row have failed.
            NasforgeError: The fault is in the run, not in the candidate.
        """
        return self.repeat(arch, 0, budget=budget)

    def repeat(self, arch: Arch, index: int, *, budget: int | None = None) -> Evaluation:
        """Return the evaluation of a repetition, see `RepeatedTraining.repeat`.

        Raises:
            RunError: Several candidates in a row have failed.
            NasforgeError: The fault is in the run, not in the candidate.
        """
        self.prepare()
        found = self._agreed(self.attempt(arch, budget, index))
        if isinstance(found, Evaluation):
            self._failed_in_a_row = 0
            return found
        self._failed_in_a_row += 1
        if self._failed_in_a_row == IN_A_ROW:
            raise RunError(
                f"search: {IN_A_ROW} candidates in a row could not be evaluated. The last one: "
                f"{found.reason.rstrip('.')}. Once that is put right, the same command resumes from here."
            ) from found.error
        warnings.warn(
            f"search: candidate {arch.key} is recorded as failed ({found.reason}). The search continues.",
            stacklevel=2,
        )
        return Evaluation(arch, -math.inf, found.seconds, failed=found.reason)

    def attempt(self, arch: Arch, budget: int | None, index: int = 0) -> Evaluation | Failure:
        """Evaluate a candidate, a second time if the first fails; see `repeat` for arguments and errors."""
        if (known := self.ahead.pop((arch, budget, index), None)) is not None:
            return known
        started = time.perf_counter()
        left = ATTEMPTS
        while True:
            left -= 1
            try:
                return check_score(evaluate_repeat(self._evaluator, arch, budget, index))
            except Exception as error:
                if is_fatal(error):
                    raise
                if self.ctx.runtime.shards.group is not None and not isinstance(error, RunError):
                    raise  # it may have happened in this process alone, and the others would wait for it
                if not left:
                    return Failure(describe_error(error), time.perf_counter() - started, error)
                warn_retry(arch.key, describe_error(error))

    def _agreed(self, found: Evaluation | Failure) -> Evaluation | Failure:
        """Return what rank 0 found, because times and the last bits of a GPU may differ between processes."""
        shards = self.ctx.runtime.shards
        if shards.group is None:
            return found
        if isinstance(found, Failure):
            reason, seconds = shards.agreed([found.reason, found.seconds])
            return Failure(reason, seconds, found.error)
        return Evaluation.from_json(shards.agreed(found.to_json()))

    def summary(self) -> Mapping[str, float]:
        """Return the summary of the wrapped evaluator."""
        return self._evaluator.summary()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the wrapped evaluator, and the evaluations that no step has asked for yet."""
        ahead = [
            {"arch": arch.to_json(), "budget": budget, "repeat": index, "result": found.to_json()}
            for (arch, budget, index), found in self.ahead.items()
        ]
        return {**self._evaluator.state_dict(), **({AHEAD: ahead} if ahead else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, with any number of workers."""
        rows = state.get(AHEAD, ())
        self.ahead = {
            (Arch(row["arch"]), row["budget"], row["repeat"]): Evaluation.from_json(row["result"])
            for row in rows
        }
        self._evaluator.load_state_dict({name: value for name, value in state.items() if name != AHEAD})


def evaluate_repeat(evaluator: Evaluator[Any], arch: Arch, budget: int | None, index: int) -> Evaluation:
    """Evaluate an architecture, with the random draws of a repetition if the index is above 0."""
    if not index:
        return evaluator.evaluate(arch, budget=budget)
    assert isinstance(evaluator, RepeatedTraining), "the recipe check requires the capability"
    return evaluator.repeat(arch, index, budget=budget)


def check_score(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation if its score is finite.

    Raises:
        RunError: The score is infinite or not a number.
    """
    if not math.isfinite(evaluation.score):
        raise RunError(f"the score is {evaluation.score}, not a number to compare with others.")
    return evaluation


def is_fatal(error: BaseException) -> bool:
    """Return whether an error would be the same for every candidate, so that the search must stop.

    This holds for every error that nasforge words itself, except `RunError`: an infinite loss belongs to one
    candidate. It also holds for a full disk, on which no training can store its state.
    """
    if isinstance(error, OSError):
        return error.errno in FULL
    return isinstance(error, AccessError) or (
        isinstance(error, NasforgeError) and not isinstance(error, RunError)
    )


def describe_error(error: BaseException) -> str:
    """Return an error as one line, with the place in the code unless nasforge words it."""
    if isinstance(error, OSError) and error.errno in FULL:
        return describe_system_error(error)
    message = " ".join(str(error).split())
    if isinstance(error, NasforgeError):
        return message
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{where}"


def warn_retry(key: str, reason: str) -> None:
    """Warn about a failure after which a candidate is evaluated once more."""
    warnings.warn(f"search: candidate {key}: {reason} It is evaluated once more.", stacklevel=3)
