"""Workers on a Ray cluster, or on a Ray that is started on this computer."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from nasforge.errors import RunError
from nasforge.parallel.crew import Connect
from nasforge.parallel.failures import describe_error
from nasforge.parallel.messages import Message, Order, Receive

__all__ = ["RayWorker", "connect_to_ray"]


class Actor:
    """Runs in a process that Ray chooses, on any machine.

    Args:
        order: JSON data of an `Order`.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._tasks: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        # One thread for all the work: torch keeps the number of threads per thread.
        threading.Thread(target=self._work, args=(order,), daemon=True).start()

    def answer(self, task: Message) -> Any:
        """Do a task; yield every message as JSON as it comes."""
        self._tasks.put(task)
        while True:
            message = self._answers.get()
            yield json.dumps(message)
            if "result" in message or "error" in message:
                return

    def _work(self, order: Mapping[str, Any]) -> None:
        from nasforge.parallel.host import Host, error_message

        try:
            host = Host(Order(**order), self._answers.put)
        except Exception as error:
            self._answers.put(error_message(error, describe_error(error), fatal=True))
            return
        while True:
            host.answer(self._tasks.get())


class RayWorker:
    """The connection to an actor.

    Args:
        actor: The handle of the actor.
        receive: Takes messages.
    """

    def __init__(self, actor: Any, receive: Receive) -> None:
        self._actor, self._receive = actor, receive
        self._lost: str | None = None
        self._closed = False

    def send(self, message: Message) -> None:
        """Give the actor a task; a thread of its own receives the answers."""
        threading.Thread(target=self._follow, args=(message,), daemon=True).start()

    def poll(self) -> str | None:
        """Return how the actor ended; None while it lives."""
        return self._lost

    def close(self) -> None:
        """Kill the actor."""
        self._closed = True
        ray.kill(self._actor)

    def _follow(self, task: Message) -> None:
        try:
            for answer in self._actor.answer.options(num_returns="streaming").remote(task):
                self._receive(json.loads(ray.get(answer)))
        except RayError as error:
            if not self._closed:
                self._lost = f"the Ray actor is gone: {str(error).strip().splitlines()[0]}"
                self._receive(None)


def connect_to_ray(order: Order, workers: int, device: str) -> Connect:
    """Connect to a Ray cluster, or start Ray on this computer, and return a function that starts an actor.

    The cluster is the one this process is connected to already, else the one that ``RAY_ADDRESS`` names, else
    one on this computer.

    Args:
        order: The class that answers tasks, and the threads of each actor.
        workers: Number of actors.
        device: Where actors compute; those on ``cuda`` share the GPUs of the cluster.

    Raises:
        RunError: The cluster has too few CPUs.
    """
    threads = order.threads or 1
    if not ray.is_initialized():
        alone = "RAY_ADDRESS" not in os.environ
        cpus = max(workers * threads, os.cpu_count() or 1)
        # "local": without it Ray would join the cluster that was started last on this computer.
        own = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        ray.init(**(own if alone else {}), log_to_driver=False, logging_level=logging.ERROR)
    there: dict[str, float] = ray.cluster_resources()
    if there.get("CPU", 0) < workers * threads:
        raise RunError(
            f"run.workers: {workers} workers of {threads} threads need {workers * threads} CPUs, but the Ray "
            f"cluster has {there.get('CPU', 0):.0f}. Set fewer workers or run.threads."
        )
    gpus = min(1.0, there.get("GPU", 0) / workers) if device.startswith("cuda") else 0
    environment = {
        "PYTHONPATH": os.pathsep.join(place for place in sys.path if place),
        "OMP_NUM_THREADS": str(threads),
    }
    remote: Any = ray.remote(Actor)
    remote = remote.options(num_cpus=threads, num_gpus=gpus, runtime_env={"env_vars": environment})
    return lambda number, receive: RayWorker(remote.remote(order.to_json()), receive)
