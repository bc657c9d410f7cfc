"""The processes of one run: what they send each other, and how they notice that one is gone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, TCPStore  # in torch.distributed under a condition

from nasforge.errors import NasforgeError, RunError
from nasforge.runtime.heartbeat import Heartbeat

__all__ = ["LostProcessError", "ProcessGroup", "find_world", "place_device"]

_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # its newer name

AGREEMENT = 5.0
"""Seconds in which ranks that fail together find out that they do."""

LONGEST = timedelta(hours=6)
"""How long processes wait for one that is alive: rank 0 may test or export for hours."""


class LostProcessError(NasforgeError):
    """Another process of the run is gone. It is not a `RunError`, which may concern one candidate only."""

    exit_code = 1


def find_world() -> tuple[int, int] | None:
    """Return rank and number of processes as ``torchrun`` and ``nasforge run --processes`` set them.

    Returns:
        None for a single process.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if any(name not in os.environ for name in names) or int(os.environ["WORLD_SIZE"]) < 2:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def place_device(device: str, processes: int) -> str:
    """Return the device of this process among those of this computer.

    Args:
        device: The device of the recipe.
        processes: Number of processes of the run.

    Raises:
        RunError: It names one GPU for several processes, or there are too few.
    """
    kind, _, number = device.partition(":")
    if number:
        raise RunError(
            f"run.device: {device!r} names one GPU for {processes} processes. Write '{kind}': each process "
            "takes one of those that CUDA_VISIBLE_DEVICES shows."
        )
    if kind not in ("auto", "cuda"):
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        return device
    place = int(os.environ.get("LOCAL_RANK") or os.environ["RANK"])
    if place >= count:
        raise RunError(
            f"run.device: process {place} of this computer has no GPU of its own: there are {count}. Start "
            f"at most {count} processes per computer, or write 'cpu'."
        )
    return f"cuda:{place}"


class ProcessGroup:
    """The processes that share the shards of a run: gloo on CPUs, NCCL between GPUs.

    All of them must call the same methods in the same order.

    Args:
        rank: Number of this process.
        size: How many there are.
        device: Where the networks compute.

    Raises:
        LostProcessError: The others cannot be reached.
    """

    _made = 0  # groups of this process; each has names of its own in the store

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size = rank, size
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        with _report_errors():
            # Under torchrun the store outlives attempts, so each has names of its own.
            ProcessGroup._made += 1
            names = f"nasforge/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{ProcessGroup._made}"
            server = TCPStore(host, port, size, not hosted and rank == 0, timedelta(minutes=5))
            self._store = PrefixStore(names, server)
            self._heartbeat = Heartbeat(host, port, f"{names}/beat", rank, size)
            self._heartbeat.start()
            dist.init_process_group(
                backend,
                store=PrefixStore("torch", self._store),
                rank=rank,
                world_size=size,
                timeout=LONGEST,
            )

    def sum_in_order(self, rows: Tensor) -> Tensor:
        """Return the sum over all shards, added in their order; equal bits on every rank.

        Each rank adds one stretch of the numbers for all shards, so that a rank sends ``L`` times its numbers
        and once the sums: with one shard per rank as much as a ring all-reduce.

        Args:
            rows: ``(L, n)``, one row for each shard of this rank.

        Returns:
            ``(n,)``.
        """
        local, length = rows.shape
        share = -(-length // self.size)
        padded = torch.nn.functional.pad(rows, (0, share * self.size - length))
        sent = padded.view(local, self.size, share).transpose(0, 1).contiguous()
        received = torch.empty_like(sent)
        with _report_errors():
            dist.all_to_all_single(received, sent)
        terms = received.view(self.size * local, share)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        whole = total.new_empty(self.size * share)
        with _report_errors():
            _all_gather(whole, total.contiguous())
        return whole[:length]

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all shards ``(k, n)`` in their order; see `Shards.gather`."""
        found = rows.new_empty(self.size * len(rows), *rows.shape[1:])
        with _report_errors():
            _all_gather(found, rows.contiguous())
        return found

    def union(self, flags: Sequence[bool]) -> list[bool]:
        """Return what is true on any rank, item by item."""
        found = torch.tensor(list(flags), dtype=torch.uint8)
        with _report_errors():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return [bool(flag) for flag in found.tolist()]

    def exchange(self, value: Any) -> list[Any]:
        """Return the values of all ranks, JSON data, by rank."""
        content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = torch.empty(self.size, dtype=torch.int64)
        with _report_errors():
            _all_gather(sizes, torch.tensor([len(content)]))
            padded = content.new_zeros(int(sizes.max()))
            padded[: len(content)] = content
            found = padded.new_empty(self.size * len(padded))
            _all_gather(found, padded)
        texts = found.view(self.size, -1)
        return [json.loads(bytes(t[:n].tolist())) for t, n in zip(texts, sizes.tolist(), strict=True)]

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value, JSON data; those of others are not looked at."""
        return self.exchange(value if self.rank == 0 else None)[0]

    def fail(self, reason: str, *, lost: bool = False) -> bool:
        """Tell the other ranks why this one ends; return whether it should also tell the user.

        Of ranks that end for the same reason, the lowest one tells it.

        Args:
            reason: The message of the error.
            lost: Whether the reason is that another rank is gone, which each rank may word differently.
        """
        deadline = time.monotonic() + AGREEMENT
        with suppress(RuntimeError):
            self._store.set(f"failed/{self.rank}", reason)
            while self.rank and time.monotonic() < deadline:
                lower = [
                    f"failed/{rank}" for rank in range(self.rank) if self._store.check([f"failed/{rank}"])
                ]
                if any(lost or self._store.get(name).decode() == reason for name in lower):
                    return False
                time.sleep(0.1)
        return True

    def lost(self) -> str:
        """Return why another rank has ended, if it left word; empty if it did not."""
        for rank in range(self.size):
            with suppress(RuntimeError):
                if rank != self.rank and self._store.check([f"failed/{rank}"]):
                    return f"process {rank}: {self._store.get(f'failed/{rank}').decode()}"
        return ""

    def close(self, *, gently: bool) -> None:
        """Leave the group.

        Args:
            gently: Wait until all ranks are done.
        """
        if gently:
            with suppress(LostProcessError):
                self.exchange(None)
        self._heartbeat.stop()
        if gently:
            dist.destroy_process_group()


@contextmanager
def _report_errors() -> Iterator[None]:
    """Word the errors of `torch.distributed`."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LostProcessError(
            f"run: another process of this run is gone ({reason[:200].rstrip('.')}). The same command "
            "resumes from the last checkpoint."
        ) from None
