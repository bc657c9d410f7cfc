"""A process that evaluates candidates for another one: it builds the evaluator anew and answers in JSON."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasforge.arch import Arch
from nasforge.component import Stage
from nasforge.errors import RunError
from nasforge.observer import Observer
from nasforge.parallel.failures import checked, concerns_the_run, reason_of
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.seeding import derive_seed

__all__ = ["Order", "Send", "Worker", "main"]

Send = Callable[[Mapping[str, Any]], None]
"""Takes a message for the main process, which is a JSON object with one of these keys: ``ready``, ``report``
(progress), ``access`` (a row for access.jsonl), ``warning``, ``evaluation``, ``error``."""


@dataclass(frozen=True)
class Order:
    """What a worker must know to begin.

    Attributes:
        folder: The run folder, whose ``resolved.json`` says everything else.
        device: Where to compute.
        threads: CPU threads of torch.
        place: The working directory of the main process: a recipe's paths start there.
    """

    folder: str
    device: str
    threads: int
    place: str


class Worker:
    """The evaluator of a run's search, built from the resolved recipe in the run folder.

    Args:
        order: Which run.
        send: Takes messages.

    Raises:
        RunError: The run folder is not there.
        NasforgeError: The recipe cannot be built in this process.
    """

    def __init__(self, order: Order, send: Send) -> None:
        # Building is what a stage does; stages start workers, so this import waits.
        from nasforge.stages.stages import Stages

        self._send = send
        warnings.showwarning = self._warn
        os.chdir(order.place)
        torch.set_num_threads(order.threads)
        folder = _Folder(Path(order.folder), send)
        resolved = folder.resolved
        if resolved is None:
            raise RunError(
                f"{order.folder}: this worker does not see the run folder. Put it where all machines see it."
            )
        source = str(folder.path / "resolved.json")
        recipe = check(resolved, Registry.discover(), source=source, folder=folder.path)
        options = recipe.run
        runtime = Runtime.of(options, order.device)
        torch.manual_seed(derive_seed(options.seed, "search"))
        self._evaluator = Stages(recipe, folder, runtime, _Watch(send)).search_evaluator()
        send({"ready": True})

    def answer(self, arch: Mapping[str, Any], budget: int | None) -> None:
        """Evaluate one candidate; the last message is its ``evaluation`` or an ``error``.

        Args:
            arch: JSON data of an `Arch`.
            budget: As in `Evaluator.evaluate`.
        """
        try:
            found = checked(self._evaluator.evaluate(Arch(arch), budget=budget))
        except Exception as error:
            fatal = type(error).__name__ if concerns_the_run(error) else None
            self._send({"error": str(error) if fatal else reason_of(error), "fatal": fatal})
        else:
            self._send({"evaluation": found.to_json()})

    def _warn(self, message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        self._send({"warning": str(message), "category": category.__name__})


class _Folder(RunFolder):
    """A run folder that is another process's: what would be written there is sent."""

    def __init__(self, path: Path, send: Send) -> None:
        super().__init__(path)
        self._send = send

    def log_access(self, row: Mapping[str, Any]) -> None:
        """Send the row before the images are read."""
        self._send({"access": row})


class _Watch(Observer[Any]):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def progress(self, stage: Stage, values: Mapping[str, float]) -> None:
        """Send it on."""
        self._send({"report": values})


def main() -> None:
    """Read orders from standard input, a line each, and answer on standard output until the input ends.

    The input ends when the main process does, however it does, and so does this one: at once, whatever it is
    doing. The first line is an `Order`, every other one a candidate.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides what an interrupt means
    # Whatever else prints shall not end up between the messages.
    answers = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    lock = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        with lock:
            try:
                answers.write(json.dumps(message) + "\n")
                answers.flush()
            except BrokenPipeError:
                os._exit(1)

    try:
        worker = Worker(Order(**orders.get()), send)
    except Exception as error:
        send({"error": reason_of(error), "fatal": type(error).__name__})
        return
    while True:
        order = orders.get()
        worker.answer(order["arch"], order["budget"])


def _listen(orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()
