"""Start the processes of one run on this computer, and end all of them if one ends early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from nasforge.parallel.processes import describe_signal
from nasforge.parallel.start import count_cores

__all__ = ["exit_with_parent", "is_reported_elsewhere", "launch"]

PARENT = "_NASFORGE_PARENT"
"""Variable that says that standard input ends with the process that has started this one."""

PATIENCE = 15.0
"""Seconds in which processes may end by themselves after one has failed. With those in which a process that
hangs is noticed (`nasforge.runtime.heartbeat.SILENCE`) less than a minute."""


def launch(arguments: Sequence[str], processes: int, threads: int | None = None) -> int:
    """Run a nasforge command in several processes that form a group, as ``torchrun`` does.

    Args:
        arguments: The command, without ``nasforge``.
        processes: How many.
        threads: CPU threads of each; None for a fair share of the cores.

    Returns:
        The exit status: that of the first process that failed or was stopped, 1 if it was killed, 0 if all
        went well.
    """
    from torch._C._distributed_c10d import TCPStore

    # This process holds the store, so that it outlives every other; the system chooses a free port.
    store = TCPStore("127.0.0.1", 0, None, True, timedelta(minutes=5), wait_for_workers=False)
    path = os.pathsep.join(place for place in sys.path if place)
    shared = {
        "OMP_NUM_THREADS": str(threads or max(1, count_cores() // processes)),
        **os.environ,
        "PYTHONPATH": path,
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        PARENT: "1",
    }
    started = []
    for rank in range(processes):
        environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        command = [sys.executable, "-m", "nasforge", *arguments]
        output = None if rank == 0 else subprocess.DEVNULL
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, env=environment))
    try:
        with _passing_on(started):
            return _wait(started)
    except KeyboardInterrupt:  # the terminal has sent it to all of them
        _end(started, PATIENCE)
        return 130
    finally:
        _end(started, 0.0)


@contextmanager
def _passing_on(started: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Pass requests to stop on to all processes, which agree on the batch after which they end."""

    def send(number: int, frame: Any) -> None:
        for process in started:
            with suppress(OSError):
                process.send_signal(number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = [signal.signal(number, send) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def is_reported_elsewhere() -> bool:
    """Return whether another process of the run tells the user what it found."""
    return os.environ.get("RANK", "0") != "0" and os.environ.get("WORLD_SIZE", "1") != "1"


def exit_with_parent() -> None:
    """End this process when the one that has started it is gone; see `launch`."""
    if os.environ.pop(PARENT, None) is None:
        return

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _wait(started: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait for all processes; after the first failure, for a short while only."""
    while True:
        codes = [process.poll() for process in started]
        failed = [rank for rank, code in enumerate(codes) if code]
        if failed:
            break
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)
    killed = [(rank, -code) for rank in failed if (code := codes[rank]) is not None and code < 0]
    for rank, number in killed:
        sys.stderr.write(
            f"nasforge: run: process {rank} of {len(started)} was killed by {describe_signal(number)}. The "
            "others end too; the same command resumes from the last checkpoint.\n"
        )
    _end(started, PATIENCE)
    codes = [process.returncode for process in started]
    return next((code for code in (codes[failed[0]], *codes) if code is not None and code > 0), 1)


def _end(started: Sequence[subprocess.Popen[bytes]], patience: float) -> None:
    """Wait for processes, then kill those that are left."""
    deadline = time.monotonic() + patience
    for process in started:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
