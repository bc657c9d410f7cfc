"""Stopping a run on a signal: between two batches or evaluations, with everything saved."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = [
    "EXIT_STATUS",
    "Stopped",
    "check_stop",
    "request_stop",
    "stop_requested",
    "stopping_on_signals",
    "stopping_together",
    "until_stopped",
    "within_step",
]

EXIT_STATUS = 75
"""Exit status of a run that was stopped and can resume: EX_TEMPFAIL of sysexits.h."""

ECHO = 1.0
"""Seconds in which a further SIGTERM is the same one: a scheduler sends it to all processes of a job, and
some pass it on to others."""

T = TypeVar("T")


class Stopped(BaseException):
    """Raised where a run stops because it was asked to.

    Derives from BaseException so that handlers of failed evaluations do not catch it.

    Args:
        reason: The request, such as the name of a signal.
        within_step: Whether the state of the search describes this moment, so that it can be saved. If not,
            the state before the step counts, and the parts have saved what they can resume from.
    """

    def __init__(self, reason: str, *, within_step: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.within_step = reason, within_step


class _Request:
    """The request to stop this process, if there is one, and how processes of one run agree on it."""

    reason: str | None = None
    first_termination: float | None = None
    agree: Callable[[bool], bool] | None = None


def request_stop(reason: str) -> None:
    """Ask this process to stop at the next batch or evaluation; safe in threads and signal handlers."""
    _Request.reason = _Request.reason or reason


def stop_requested() -> str | None:
    """Return the reason of the request to stop; None if there is no request."""
    return _Request.reason


def check_stop() -> None:
    """Stop here if a stop was requested.

    Raises:
        Stopped: A stop was requested.
    """
    reason = _Request.reason
    if _Request.agree is not None:
        asked = _Request.agree(reason is not None)
        reason = (reason or "another process of this run") if asked else None
    if reason is not None:
        raise Stopped(reason)


def until_stopped(items: Iterable[T]) -> Iterator[T]:
    """Yield items one by one.

    Raises:
        Stopped: A stop was requested before the next item.
    """
    for item in items:
        check_stop()
        yield item


@contextmanager
def stopping_together(agree: Callable[[bool], bool]) -> Iterator[None]:
    """Let the processes of one run stop at the same batch.

    Args:
        agree: Told whether this process was asked to stop; returns whether any was, when all have called it.
    """
    _Request.agree = agree
    try:
        yield
    finally:
        _Request.agree = None


@contextmanager
def within_step() -> Iterator[None]:
    """Mark a stop inside the block as one that the state of the search describes; see `Stopped`."""
    try:
        yield
    except Stopped as stop:
        stop.within_step = True
        raise


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 request a stop inside the block; a second SIGTERM ends the process at once.

    One within a second of the first counts as the same. Does nothing outside the main thread, where Python
    takes no signals. A platform without SIGUSR1 has SIGTERM alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), _take_signal) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), signal.SIG_DFL if handler is None else handler)
        _Request.reason = _Request.first_termination = None


def _take_signal(number: int, frame: Any) -> None:
    if number == signal.SIGTERM:
        now = time.monotonic()
        if _Request.first_termination is None:
            _Request.first_termination = now
        elif now - _Request.first_termination > ECHO:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
    request_stop(signal.Signals(number).name)
