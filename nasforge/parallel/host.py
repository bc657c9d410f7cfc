"""The inside of a worker process: builds the class that an order names, and answers tasks with it."""

from __future__ import annotations

import json
import os
import platform
import queue
import signal
import sys
import threading
import traceback
import warnings
from importlib import import_module
from typing import Any

import torch

from nasforge import __version__
from nasforge.errors import NasforgeError, RunError
from nasforge.parallel.failures import describe_error, is_fatal
from nasforge.parallel.messages import Message, Order, Send
from nasforge.training.stopping import Stopped, check_stop, request_stop

__all__ = ["Host", "main"]


class Host:
    """Answers the tasks of one worker, one after the other.

    Args:
        order: The class to build, and the settings of the process.
        send: Takes messages.

    Raises:
        RunError: The main process has another version of nasforge.
        Exception: The class cannot be imported or built.
    """

    def __init__(self, order: Order, send: Send) -> None:
        if order.version != __version__:
            raise RunError(
                f"run.workers: a worker on {platform.node()!r} has nasforge {__version__}, the main process "
                f"{order.version}. Install the same version everywhere."
            )
        self._send = send
        warnings.showwarning = self._send_warning
        os.chdir(order.place)
        if order.threads:
            torch.set_num_threads(order.threads)
        module, _, name = order.target.partition(":")
        self._worker = getattr(import_module(module), name)(send, **order.arguments)
        send({"ready": True})

    def answer(self, task: Message) -> None:
        """Do a task; the last message is its ``result``, an ``error``, or ``stopped``."""
        try:
            check_stop()
            result = self._worker.answer(task)
        except Stopped as stop:
            self._send({"stopped": stop.reason})
        except Exception as error:
            text = str(error) if isinstance(error, NasforgeError) else describe_error(error)
            self._send(error_message(error, text, fatal=is_fatal(error)))
        else:
            self._send({"result": result})

    def _send_warning(
        self, message: Warning | str, category: type[Warning], *place: Any, **more: Any
    ) -> None:
        self._send({"warning": str(message), "category": category.__name__})


def error_message(error: Exception, text: str, *, fatal: bool) -> Message:
    """Return an error as a message.

    Args:
        error: The error.
        text: Its wording.
        fatal: Whether every other task would fail in the same way.
    """
    trace = "".join(traceback.format_exception(error)).rstrip()
    return {"error": text, "kind": type(error).__name__, "fatal": fatal, "traceback": trace}


def main() -> None:
    """Read an order and then tasks from standard input, a line each, and answer on standard output.

    The process ends at once when its input does: when the main process has ended, even by a kill.
    """
    # The main process decides what signals mean; schedulers send them to all processes of a job.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # Printed text must not end up between the messages.
    answers = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            try:
                answers.write(json.dumps(message) + "\n")
                answers.flush()
            except BrokenPipeError:
                os._exit(1)

    try:
        host = Host(Order(**tasks.get()), send)
    except Exception as error:
        send(error_message(error, describe_error(error), fatal=True))
        return
    while True:
        host.answer(tasks.get())


def _read(tasks: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "stop" in message:
            request_stop(message["stop"])
        else:
            tasks.put(message)
    os._exit(0)


if __name__ == "__main__":
    main()
