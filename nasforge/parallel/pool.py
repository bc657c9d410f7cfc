"""Several candidates at the same time: who evaluates which, and what happens when a worker is lost."""

from __future__ import annotations

import builtins
import queue
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nasforge import errors
from nasforge.arch import Arch
from nasforge.errors import NasforgeError, RecipeError, RunError
from nasforge.evaluator import Evaluation, Evaluator
from nasforge.parallel.failures import ATTEMPTS, Failure, Tolerant, say_again

__all__ = ["Connect", "Message", "Pool", "Wire"]

Message = Mapping[str, Any]
"""What a worker sends; see `nasforge.parallel.worker.Send`."""

PATIENCE = 5.0
"""Seconds without a message after which lost workers are looked for."""


class Wire(Protocol):
    """The connection to one worker."""

    def send(self, order: Message) -> None:
        """Give the worker a candidate; silent if it is lost."""

    def lost(self) -> str | None:
        """Return how the worker ended, one sentence; None while it lives."""

    def close(self) -> None:
        """End the worker at once."""


Connect = Callable[[int, Callable[[Message | None], None]], Wire]
"""Starts a worker, given its number from 0 and what takes its messages, from any thread; None says that no
more will come."""


@dataclass
class _Job:
    arch: Arch
    budget: int | None
    attempts: int = 0
    seconds: float = 0.0
    outcome: Evaluation | Failure | NasforgeError | None = None


@dataclass
class _Seat:
    """A place for one worker after the other."""

    number: int
    wire: Wire | None = None
    worker: int = 0
    ready: bool = False
    job: _Job | None = None
    since: float = field(default_factory=time.perf_counter)


class Pool(Tolerant):
    """Has candidates evaluated by workers, as soon as it expects them.

    Scores depend on seed and architecture alone, so who evaluates what, and when, changes nothing.

    Args:
        evaluator: What the workers have copies of; it makes what they share.
        workers: How many candidates are evaluated at the same time. Workers start when there is work.
        connect: Starts a worker.
        log: Takes the rows that workers have for ``access.jsonl``.
    """

    def __init__(
        self,
        evaluator: Evaluator[Any],
        workers: int,
        connect: Connect,
        log: Callable[[Message], None],
    ) -> None:
        super().__init__(evaluator)
        self.workers = workers
        self._connect, self._log = connect, log
        self._seats = [_Seat(number) for number in range(workers)]
        self._jobs: dict[tuple[Arch, int | None], _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._inbox: queue.SimpleQueue[tuple[_Seat, int, Message | None]] = queue.SimpleQueue()
        self._stillborn = 0

    def expect(self, arch: Arch, *, budget: int | None = None) -> None:
        """Have a candidate evaluated as soon as a worker is free."""
        if (arch, budget) in self._jobs:
            return
        self.prepare()
        job = self._jobs[arch, budget] = _Job(arch, budget)
        self._waiting.append(job)
        self._hand_out()

    def attempt(self, arch: Arch, budget: int | None) -> Evaluation | Failure:
        """Wait for a candidate; the others go on meanwhile."""
        self.expect(arch, budget=budget)
        job = self._jobs[arch, budget]
        while job.outcome is None:
            self._receive(job)
        del self._jobs[arch, budget]
        if isinstance(job.outcome, NasforgeError):
            raise job.outcome
        return job.outcome

    def close(self) -> None:
        """End all workers at once."""
        wires = [seat.wire for seat in self._seats if seat.wire is not None]
        for seat in self._seats:
            seat.wire = None
        for wire in wires:
            wire.close()

    def _hand_out(self) -> None:
        for seat in self._seats:
            if seat.job is not None:
                continue
            # Two budgets of one architecture share a slot, so they take turns.
            busy = {other.job.arch.key for other in self._seats if other.job is not None}
            job = next((job for job in self._waiting if job.arch.key not in busy), None)
            if job is None:
                return
            self._waiting.remove(job)
            seat.job, seat.since = job, time.perf_counter()
            if seat.wire is None:
                seat.worker, seat.ready = seat.worker + 1, False
                seat.wire = self._connect(seat.number, self._inbox_of(seat, seat.worker))
            seat.wire.send({"arch": job.arch.to_json(), "budget": job.budget})

    def _inbox_of(self, seat: _Seat, worker: int) -> Callable[[Message | None], None]:
        return lambda message: self._inbox.put((seat, worker, message))

    def _receive(self, awaited: _Job) -> None:
        try:
            seat, worker, message = self._inbox.get(timeout=PATIENCE)
        except queue.Empty:
            for seat in self._seats:
                if seat.wire is not None and (reason := seat.wire.lost()):
                    self._lose(seat, reason)
            return
        if worker != seat.worker or seat.wire is None:
            return  # somebody who was replaced
        if message is None:
            self._lose(seat, seat.wire.lost() or "the worker broke off the connection")
        elif "ready" in message:
            seat.ready, self._stillborn = True, 0
        elif "report" in message:
            if seat.job is awaited:
                self.ctx.report(message["report"])
        elif "access" in message:
            self._log({**message["access"], "worker": seat.number + 1})
        elif "warning" in message:
            category = getattr(builtins, message["category"], UserWarning)
            warnings.warn(message["warning"], category, stacklevel=2)
        else:
            self._settle(seat, message)

    def _settle(self, seat: _Seat, message: Message) -> None:
        job, seat.job = seat.job, None
        assert job is not None, "workers answer when asked"
        if "evaluation" in message:
            job.outcome = Evaluation.from_json(message["evaluation"])
        elif message["fatal"]:
            job.outcome = _revived(message["fatal"], message["error"])
        else:
            self._again(job, seat, message["error"])
        self._hand_out()

    def _lose(self, seat: _Seat, reason: str) -> None:
        assert seat.wire is not None
        seat.wire.close()
        job, seat.wire, seat.job = seat.job, None, None
        if not seat.ready:
            self._stillborn += 1
            if self._stillborn >= ATTEMPTS:
                raise RunError(f"run.workers: a worker cannot start: {reason.rstrip('.')}.")
        if job is not None:
            self._again(job, seat, f"{reason.rstrip('.')}.")
        self._hand_out()

    def _again(self, job: _Job, seat: _Seat, reason: str) -> None:
        job.attempts += 1
        job.seconds += time.perf_counter() - seat.since
        if job.attempts < ATTEMPTS:
            say_again(job.arch, reason)
            self._waiting.appendleft(job)
        else:
            job.outcome = Failure(reason, job.seconds)


def _revived(name: str, message: str) -> NasforgeError:
    """Return an error that a worker has raised; one that only a plugin knows becomes a `RunError`."""
    kind = getattr(errors, name, RunError)
    known = isinstance(kind, type) and issubclass(kind, NasforgeError) and kind is not RecipeError
    return kind(message) if known else RunError(message)
