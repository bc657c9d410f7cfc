"""Whether the Ray cluster that ``RAY_ADDRESS`` names answers, without Ray, which takes seconds to load."""

from __future__ import annotations

import os
import socket

from nasforge.errors import RunError

__all__ = ["check_answer", "unusable"]

ANSWER = 10.0
"""Seconds in which the address of a cluster must answer; Ray itself tries for ten minutes."""


def check_answer() -> None:
    """Open and close a connection to a host and port; other addresses, such as "auto", are left to Ray.

    Raises:
        RunError: Nothing answers there.
    """
    host, _, port = os.environ.get("RAY_ADDRESS", "").rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
        except (OSError, OverflowError) as error:
            raise unusable(error) from None


def unusable(error: Exception) -> RunError:
    """Return the error of a cluster that cannot be used.

    Args:
        error: The reason.
    """
    address = os.environ.get("RAY_ADDRESS")
    reason = " ".join(str(error).split()).rstrip(".")
    where = f"the Ray cluster at {address!r} (RAY_ADDRESS)" if address else "a Ray on this computer"
    return RunError(
        f"run.backend: {where} cannot be used: {reason}. Start it with 'ray start --head' and the same "
        "versions of Python and Ray, unset RAY_ADDRESS, or write 'processes'."
    )
