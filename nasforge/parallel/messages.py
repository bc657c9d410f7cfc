"""Messages between a process and its workers: JSON objects, so that nothing is pickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nasforge import __version__, errors
from nasforge.errors import NasforgeError, RecipeError, RunError

__all__ = ["Message", "Order", "Receive", "Send", "revive_error"]

Message = Mapping[str, Any]
"""From a worker, by its key: ``ready`` (the worker is built), ``warning`` with its ``category``, ``result``,
``error`` or ``stopped`` (the last message of a task), and others that the two sides agree on. To a worker: an
`Order` first, then one task per message, and ``stop`` at any time."""

Send = Callable[[Message], None]
"""Sends a message to the main process."""

Receive = Callable[[Message | None], None]
"""Takes a message of a worker, from any thread; None if there are no more."""


@dataclass(frozen=True)
class Order:
    """The first message to a worker: the class that answers its tasks, and the settings of the process.

    Attributes:
        target: The class, as ``module:name``. It is called with a `Send` and the arguments, and its method
            ``answer`` turns a task into a result; both are JSON data.
        place: The working directory.
        threads: CPU threads; None leaves them as they are.
        arguments: JSON data for the class.
        version: Version of nasforge in the main process.
    """

    target: str
    place: str
    threads: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__

    def to_json(self) -> dict[str, Any]:
        """Return the order as JSON data."""
        return asdict(self)


def revive_error(message: Message) -> NasforgeError:
    """Return the error that a worker reports as an exception.

    Classes that only a plugin knows become a `RunError`, as does a `RecipeError`, whose problems are text by
    then. The worker's traceback is kept as a note.
    """
    kind = getattr(errors, message["kind"], RunError)
    known = isinstance(kind, type) and issubclass(kind, NasforgeError) and kind is not RecipeError
    error: NasforgeError = (kind if known else RunError)(message["error"])
    if trace := message.get("traceback"):
        error.add_note(f"In the worker:\n{trace}")
    return error
