"""A sign of life of every process of a run, so that the others end when one is gone or hangs."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, TCPStore  # in torch.distributed under a condition

__all__ = ["EVERY", "SILENCE", "Heartbeat"]

EVERY = 3.0
"""Seconds between two signs."""

ARRIVAL = 300.0
"""Seconds in which every process must have come."""

SILENCE = 40.0
"""Seconds without a sign after which a process counts as dead."""


class Heartbeat:
    """Writes a counter into a store, and watches those of the other ranks, in a thread.

    Most deaths are noticed at once, because connections break. This ends the others where they do not: a
    computer that lost its network, a process that was stopped, a collective of NCCL.

    Args:
        host: Address of the store.
        port: Its port.
        prefix: Beginning of the names of the counters.
        rank: Number of this process.
        size: How many there are.
    """

    def __init__(self, host: str, port: int, prefix: str, rank: int, size: int) -> None:
        # A connection of its own: one that waits for a key blocks all other calls.
        server = TCPStore(host, port, None, False, timedelta(seconds=SILENCE))
        self._store, self._rank, self._size = PrefixStore(prefix, server), rank, size
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has."""
        self._over.set()
        # A thread that is still inside the store when the interpreter exits aborts the process. A call of the
        # store takes `SILENCE` at most.
        self._thread.join(timeout=SILENCE + EVERY)

    def _watch(self) -> None:
        last = time.monotonic()
        seen = dict.fromkeys(range(self._size), (0, last))
        # The first sign comes at once: from then on silence means more than a process that starts slowly.
        wait = 0.0
        while not self._over.wait(wait):
            wait, now = EVERY, time.monotonic()
            try:
                self._store.add(str(self._rank), 1)
                for rank in range(self._size):
                    count = self._store.add(str(rank), 0)
                    if count != seen[rank][0]:
                        seen[rank] = (count, now)
                last = now
            except RuntimeError:  # the process that holds the store is gone, or does not answer
                if now - last > SILENCE:
                    self._end("rank 0, which holds the processes together,")
                continue
            silent = [r for r, (count, when) in seen.items() if now - when > (SILENCE if count else ARRIVAL)]
            if silent and not self._over.is_set():
                told_by = next(rank for rank in seen if rank not in silent)
                self._end(" and ".join(f"process {rank}" for rank in silent), told_by)

    def _end(self, who: str, told_by: int | None = None) -> None:
        # The main thread may be inside a collective that never returns.
        if told_by in (None, self._rank):
            verb = "give" if " and " in who else "gives"
            sys.stderr.write(
                f"nasforge: run: {who} {verb} no sign of life, so the other processes end. The same command "
                "resumes from the last checkpoint.\n"
            )
            sys.stderr.flush()
        os._exit(1)
