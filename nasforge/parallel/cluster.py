"""Workers on a Ray cluster, or on a Ray that is started on this computer."""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from nasforge.errors import RunError
from nasforge.parallel.crew import Connect
from nasforge.parallel.failures import describe_error
from nasforge.parallel.messages import Message, Order, Receive
from nasforge.parallel.ray_address import unusable
from nasforge.training.stopping import request_stop, stop_requested

__all__ = ["RayWorker", "connecting_to_ray", "gpu_share"]

TICK = 1.0
"""Seconds between looks at the state of the cluster."""


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
            if not message.keys().isdisjoint(("result", "error", "stopped")):
                return

    def stop(self, reason: str) -> None:
        """Stop the task at its next batch."""
        request_stop(reason)

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

    def stop(self, reason: str) -> None:
        """Ask the actor to stop its task at the next batch."""
        self._actor.stop.remote(reason)

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


def gpu_share(workers: int, gpus: float, device: str) -> float:
    """Return the GPUs that each worker asks for: one, or an equal share of one that several workers use.

    Two workers of a third of three GPUs would not fit on one, so the share is one over a whole number.

    Args:
        workers: Number of workers.
        gpus: GPUs of the cluster.
        device: ``run.device``; "auto" takes the GPUs that there are.
    """
    wanted = device == "auto" or device.startswith("cuda")
    return 1.0 / math.ceil(workers / int(gpus)) if wanted and gpus >= 1 else 0.0


@contextmanager
def connecting_to_ray(order: Order, workers: int, device: str, start_limit: float) -> Iterator[Connect]:
    """Reserve places for actors on a Ray cluster, and provide a function that starts an actor in its place.

    The cluster is the one this process is connected to already, else the one that ``RAY_ADDRESS`` names, else
    one that is started on this computer. The places are free again on exit.

    Args:
        order: The class that answers tasks, and the threads of each actor.
        workers: Number of actors.
        device: ``run.device``; unless it is the CPU, actors share the GPUs of the cluster.
        start_limit: Seconds to wait for the places.

    Raises:
        RunError: The cluster cannot be reached, or has no place for all actors.
    """
    threads = order.threads or 1
    _join(workers * threads)
    there: dict[str, float] = ray.cluster_resources()
    if there.get("CPU", 0) < workers * threads:
        raise RunError(
            f"run.workers: {workers} workers of {threads} threads need {workers * threads} CPUs, but the Ray "
            f"cluster has {there.get('CPU', 0):.0f}. Set fewer workers or run.threads."
        )
    share = gpu_share(workers, there.get("GPU", 0), device)
    if device.startswith("cuda") and not share:
        raise RunError(
            f"run.device: {device!r}, but the Ray cluster has no GPU. Write 'auto' or 'cpu', or start Ray on "
            "machines with GPUs."
        )
    place = {"CPU": float(threads), **({"GPU": share} if share else {})}
    group = placement_group([place] * workers, strategy="PACK")
    try:
        _wait_for(group, place, workers, start_limit)
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": str(threads),
        }
        remote: Any = ray.remote(Actor)
        data = order.to_json()

        def connect(number: int, receive: Receive) -> RayWorker:
            strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
            actor = remote.options(
                num_cpus=threads,
                num_gpus=share,
                scheduling_strategy=strategy,
                max_concurrency=2,  # a task, and the request to stop it
                runtime_env={"env_vars": environment},
            )
            return RayWorker(actor.remote(data), receive)

        yield connect
    finally:
        with suppress(RayError):
            remove_placement_group(group)


def _join(cpus: int) -> None:
    """Connect to the cluster, or start one, unless this process is connected already."""
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    # "local": without it Ray would join the cluster that was started last on this computer.
    own = {"address": "local", "num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(**({} if address else own), log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise unusable(error) from None


def _wait_for(group: Any, place: Mapping[str, float], workers: int, limit: float) -> None:
    waited = 0.0
    while not group.wait(TICK):
        waited += TICK
        if waited < limit and not stop_requested():
            continue
        each = " and ".join(f"{amount:g} {kind}" for kind, amount in place.items())
        raise RunError(
            f"run.workers: the Ray cluster had no place for {workers} workers of {each} each within "
            f"{limit:g} seconds. Set fewer workers, or wait until other work on it has ended."
        )
