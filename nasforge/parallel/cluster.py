"""Workers on a Ray cluster, or on a Ray of this computer's own."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from nasforge.errors import RunError
from nasforge.parallel.failures import reason_of
from nasforge.parallel.pool import Connect, Message

__all__ = ["RayWorker", "connect_to_ray"]


class Actor:
    """Runs in a process that Ray chooses, on any machine.

    Args:
        order: See `nasforge.parallel.worker.Order`.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._orders: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        # One thread for all the work: torch keeps the number of threads per thread.
        threading.Thread(target=self._work, args=(order,), daemon=True).start()

    def evaluate(self, order: Mapping[str, Any]) -> Any:
        """Evaluate a candidate; yield every message as JSON as it comes."""
        self._orders.put(order)
        while True:
            message = self._answers.get()
            yield json.dumps(message)
            if "evaluation" in message or "error" in message:
                return

    def _work(self, order: Mapping[str, Any]) -> None:
        from nasforge.parallel.worker import Order, Worker

        try:
            worker = Worker(Order(**order), self._answers.put)
        except Exception as error:
            self._answers.put({"error": reason_of(error), "fatal": type(error).__name__})
            return
        while True:
            candidate = self._orders.get()
            worker.answer(candidate["arch"], candidate["budget"])


class RayWorker:
    """The connection to an actor.

    Args:
        actor: Its handle.
        receive: Takes its messages.
    """

    def __init__(self, actor: Any, receive: Callable[[Message | None], None]) -> None:
        self._actor, self._receive = actor, receive
        self._lost: str | None = None
        self._closed = False

    def send(self, order: Message) -> None:
        """Have the candidate evaluated, and follow what the actor says."""
        threading.Thread(target=self._follow, args=(order,), daemon=True).start()

    def lost(self) -> str | None:
        """Return how the actor ended; None while it lives."""
        return self._lost

    def close(self) -> None:
        """Kill the actor."""
        self._closed = True
        ray.kill(self._actor)

    def _follow(self, order: Message) -> None:
        try:
            for answer in self._actor.evaluate.options(num_returns="streaming").remote(order):
                self._receive(json.loads(ray.get(answer)))
        except RayError as error:
            if not self._closed:
                self._lost = f"the Ray actor is gone: {str(error).strip().splitlines()[0]}"
                self._receive(None)


def connect_to_ray(order: Mapping[str, Any], workers: int) -> Connect:
    """Connect to a Ray cluster, or start Ray on this computer, and return what starts an actor.

    The cluster is the one this process is connected to already, else the one that ``RAY_ADDRESS`` names, else
    one on this computer.

    Args:
        order: See `nasforge.parallel.worker.Order`.
        workers: How many actors there will be.

    Raises:
        RunError: The cluster has too few CPUs.
    """
    threads = order["threads"]
    if not ray.is_initialized():
        alone = "RAY_ADDRESS" not in os.environ
        cpus = max(workers * threads, os.cpu_count() or 1)
        # "local": without it Ray would join whatever cluster was started last on this computer.
        own = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        ray.init(**(own if alone else {}), log_to_driver=False, logging_level=logging.ERROR)
    there: dict[str, float] = ray.cluster_resources()
    if there.get("CPU", 0) < workers * threads:
        raise RunError(
            f"run.workers: {workers} workers of {threads} threads need {workers * threads} CPUs, but the Ray "
            f"cluster has {there.get('CPU', 0):.0f}. Set fewer workers or run.threads."
        )
    gpus = min(1.0, there.get("GPU", 0) / workers) if order["device"].startswith("cuda") else 0
    environment = {
        "PYTHONPATH": os.pathsep.join(place for place in sys.path if place),
        "OMP_NUM_THREADS": str(threads),
    }
    remote: Any = ray.remote(Actor)
    remote = remote.options(num_cpus=threads, num_gpus=gpus, runtime_env={"env_vars": environment})
    return lambda number, receive: RayWorker(remote.remote(order), receive)
