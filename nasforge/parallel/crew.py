"""Workers and the tasks that wait for them, in the main process; tasks may be of any kind."""

from __future__ import annotations

import builtins
import math
import queue
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nasforge.errors import RunError
from nasforge.parallel.messages import Message, Receive

__all__ = ["Connect", "Crew", "Wire", "WorkItem"]

TICK = 0.2
"""Seconds after which waiting looks at requests to stop."""

PATIENCE = 5.0
"""Seconds without a message after which lost workers are looked for."""

STARTS = 2
"""Workers lost in a row before they were ready; after so many the rest will be lost too."""


class Wire(Protocol):
    """The connection to one worker."""

    def send(self, message: Message) -> None:
        """Send a task to the worker; does nothing if the worker is lost."""

    def poll(self) -> str | None:
        """Return how the worker ended, one sentence; None while it lives."""

    def stop(self, reason: str) -> None:
        """Ask the worker to stop its task at the next batch."""

    def close(self) -> None:
        """End the worker at once."""


Connect = Callable[[int, Receive], Wire]
"""Starts a worker, given its number from 0 and a function that takes its messages."""


@dataclass(eq=False)
class WorkItem:
    """A piece of work for one worker.

    Attributes:
        content: JSON data for the worker.
        key: Tasks with the same key are never at work at the same time; None if there is no such limit.
        attempts: Number of failed attempts.
        seconds: Their wall-clock time.
        outcome: The worker's last message once the task is over. ``lost`` stands beside its ``error`` if the
            worker ended without an answer. A task that was stopped has no outcome.
    """

    content: Message
    key: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    outcome: Message | None = None


@dataclass
class _Seat:
    """A place for one worker after the other."""

    number: int
    wire: Wire | None = None
    worker: int = 0
    ready: bool = False
    task: WorkItem | None = None
    since: float = field(default_factory=time.perf_counter)
    started: float = 0.0


class Crew:
    """Workers that start when there is work, are replaced when they are lost, and end on `close`.

    Args:
        workers: Number of tasks at work at the same time.
        connect: Starts a worker.
        attempts: Attempts at a task. After a fatal error there is no other.
        on_message: Called with every message of a task but the last, and the number of the worker from 1.
        on_retry: Called with a task and the reason of its failure before it is tried again.
        start_limit: Seconds in which a worker must have started. One that has not is given up; its task goes
            to the others.
    """

    def __init__(
        self,
        workers: int,
        connect: Connect,
        *,
        attempts: int = 1,
        on_message: Callable[[WorkItem | None, int, Message], None] = lambda task, worker, message: None,
        on_retry: Callable[[WorkItem, str], None] = lambda task, reason: None,
        start_limit: float = math.inf,
    ) -> None:
        self._connect, self._attempts = connect, attempts
        self._on_message, self._on_retry = on_message, on_retry
        self._start_limit = start_limit
        self._seats = [_Seat(number) for number in range(workers)]
        self._waiting: deque[WorkItem] = deque()
        self._inbox: queue.SimpleQueue[tuple[_Seat, int, Message | None]] = queue.SimpleQueue()
        self._lost_at_start = 0
        self._heard = time.monotonic()
        self._stopping = False

    def submit(self, task: WorkItem) -> None:
        """Queue a task; a worker does it as soon as one is free."""
        self._waiting.append(task)
        self._assign_tasks()

    def wait(self) -> WorkItem | None:
        """Wait for one message, a moment at most, and return the task that ended with it, if one did.

        Raises:
            RunError: Workers cannot start.
        """
        self._give_up_late()
        try:
            seat, worker, message = self._inbox.get(timeout=min(TICK, PATIENCE))
        except queue.Empty:
            if time.monotonic() - self._heard >= PATIENCE:
                self._find_lost()
            return None
        self._heard = time.monotonic()
        if worker != seat.worker or seat.wire is None:
            return None  # of a worker that was replaced
        if message is None:
            return self._drop_worker(seat, seat.wire.poll() or "the worker broke off the connection")
        if "stopped" in message:
            seat.task = None
            return None
        if "result" in message or "error" in message:
            return self._settle(seat, message)
        if "ready" in message:
            seat.ready, self._lost_at_start = True, 0
        elif "warning" in message:
            category = getattr(builtins, message["category"], UserWarning)
            warnings.warn(message["warning"], category, stacklevel=2)
        else:
            self._on_message(seat.task, seat.number + 1, message)
        return None

    def stop(self, reason: str) -> None:
        """Have all workers stop at their next batch, wait for that, and end them. No task starts any more.

        Tasks that end meanwhile have their outcome. Workers that have not started yet end at once.

        Args:
            reason: Why, for the workers.
        """
        self._stopping = True
        for seat in self._seats:
            if seat.wire is None:
                continue
            if seat.ready and seat.task is not None:
                seat.wire.stop(reason)
            else:
                seat.task = None
        while any(seat.task is not None for seat in self._seats):
            self.wait()
        self.close()

    def close(self) -> None:
        """End all workers at once."""
        wires = [seat.wire for seat in self._seats if seat.wire is not None]
        for seat in self._seats:
            seat.wire = None
        for wire in wires:
            wire.close()

    def _give_up_late(self) -> None:
        """Do without workers that have not started in time, as long as there are others."""
        now = time.perf_counter()
        late = [
            seat
            for seat in self._seats
            if seat.wire is not None and not seat.ready and now - seat.started > self._start_limit
        ]
        if not late:
            return
        limit = f"within {self._start_limit:g} seconds"
        if not any(seat.ready for seat in self._seats):
            raise RunError(
                f"run.workers: no worker has started {limit}. Look at the launcher or the cluster, "
                "set fewer workers, or raise run.start_limit."
            )
        self._do_without(late, f"has not started {limit}")

    def _do_without(self, seats: Sequence[_Seat], reason: str) -> None:
        """Give the tasks of workers that do not start to those that run."""
        for seat in seats:
            if seat.wire is not None:
                seat.wire.close()
            self._seats.remove(seat)
            if seat.task is not None:
                self._waiting.appendleft(seat.task)
        numbers, left = ", ".join(str(seat.number + 1) for seat in seats), len(self._seats)
        text = f"run.workers: worker {numbers} {reason}. The search continues with {left}."
        warnings.warn(text, stacklevel=3)
        self._assign_tasks()

    def _find_lost(self) -> None:
        self._heard = time.monotonic()
        for seat in self._seats:
            if seat.wire is not None and seat.wire.poll():
                self._inbox.put((seat, seat.worker, None))

    def _assign_tasks(self) -> None:
        if self._stopping:
            return
        # Those that run first: after a loss, a new worker may have to wait for its place.
        for seat in sorted(self._seats, key=lambda seat: not (seat.wire is not None and seat.ready)):
            if seat.task is not None:
                continue
            busy = {other.task.key for other in self._seats if other.task is not None} - {None}
            task = next((task for task in self._waiting if task.key not in busy), None)
            if task is None:
                return
            self._waiting.remove(task)
            seat.task, seat.since = task, time.perf_counter()
            if seat.wire is None:
                seat.worker, seat.ready, seat.started = seat.worker + 1, False, time.perf_counter()
                seat.wire = self._connect(seat.number, self._inbox_of(seat, seat.worker))
            seat.wire.send(task.content)

    def _inbox_of(self, seat: _Seat, worker: int) -> Receive:
        return lambda message: self._inbox.put((seat, worker, message))

    def _drop_worker(self, seat: _Seat, reason: str) -> WorkItem | None:
        assert seat.wire is not None
        seat.wire.close()
        seat.wire, started = None, seat.ready
        reason = reason.rstrip(".")
        seat.ready = False
        if not started:
            self._lost_at_start += 1
            if self._lost_at_start >= STARTS:
                if not any(other.ready for other in self._seats):
                    raise RunError(f"run.workers: a worker cannot start: {reason}.")
                self._do_without([seat], f"cannot start: {reason}")
                return None
        if seat.task is None:
            return None
        return self._settle(seat, {"error": f"{reason}.", "fatal": False, "lost": True})

    def _settle(self, seat: _Seat, message: Message) -> WorkItem | None:
        """Return the task of a seat if it is over; queue it in front if it is tried again."""
        task, seat.task = seat.task, None
        if task is None and self._stopping:
            return None
        assert task is not None, "workers answer when they have a task"
        over = True
        if "error" in message and not message["fatal"]:
            task.attempts += 1
            task.seconds += time.perf_counter() - seat.since
            over = task.attempts >= self._attempts
        if over:
            task.outcome = message
        else:
            self._on_retry(task, message["error"])
            self._waiting.appendleft(task)
        self._assign_tasks()
        return task if over else None
