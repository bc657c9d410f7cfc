"""Workers as processes on this computer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from nasforge.parallel.messages import Message, Order, Receive

__all__ = ["Process", "describe_signal"]


def describe_signal(number: int) -> str:
    """Return the name of a signal that ended a process, with its usual cause if there is one."""
    name = signal.Signals(number).name if number in list(signal.Signals) else str(number)
    return f"{name}, which the kernel sends when memory runs out" if name == "SIGKILL" else name


class Process:
    """A worker process and the pipes to it: a fresh interpreter, which inherits no state of this one.

    Args:
        order: The class that answers tasks.
        receive: Takes messages.
        launcher: Words before the command, for a program that starts it elsewhere.
    """

    def __init__(self, order: Order, receive: Receive, launcher: Sequence[str] = ()) -> None:
        path = os.pathsep.join(place for place in sys.path if place)
        environment = {**os.environ, "PYTHONPATH": path}
        if order.threads:
            environment["OMP_NUM_THREADS"] = str(order.threads)
        # Out of the terminal's reach: an interrupt is for the main process, which ends its workers itself.
        apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {"creationflags": 0x200}
        self._process = subprocess.Popen(
            [*launcher, sys.executable, "-m", "nasforge.parallel.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf8",
            errors="replace",
            env=environment,
            **apart,
        )
        self._receive = receive
        self._closed = False
        self._last_words: deque[str] = deque(maxlen=3)
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._read, self._forward_errors)]
        for thread in self._threads:
            thread.start()
        self.send(order.to_json())

    def send(self, message: Message) -> None:
        """Write a line; a lost process is noticed when its answers are read."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def stop(self, reason: str) -> None:
        """Ask the process to stop its task at the next batch."""
        self.send({"stop": reason})

    def poll(self) -> str | None:
        """Return how the process ended; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        if code < 0:
            how = f"the worker was killed by {describe_signal(-code)}"
        else:
            how = f"the worker exited with code {code}"
        words = " ".join(" / ".join(self._last_words).split())
        return f"{how}; its last words: {words}." if words else f"{how}."

    def close(self) -> None:
        """Kill the process and wait for its end: it leaves nothing half-written."""
        self._closed = True
        self._kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(timeout=1)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with suppress(OSError):  # a line for the process that was killed
                pipe.close()

    def _kill(self) -> None:
        """Kill the process and, as far as they are here, those that a launcher has started."""
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut short by the end of the process
            self._receive(message)
        if not self._closed:
            self._process.wait()
            self._threads[1].join(timeout=1)
            self._receive(None)

    def _forward_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.strip():
                self._last_words.append(line)
            if not self._closed:
                sys.stderr.write(line)
