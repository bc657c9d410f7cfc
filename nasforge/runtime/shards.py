"""Shards: the equal parts of a batch whose gradients are averaged, and which process computes which."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import ref

import torch
from torch import Tensor, nn

from nasforge.errors import DataError, NasforgeError, RunError

if TYPE_CHECKING:
    from nasforge.runtime.distributed import ProcessGroup

__all__ = ["Shards"]

T = TypeVar("T")


class Shards:
    """The shards of every training batch, and those of this process.

    Rank ``r`` of ``w`` processes has the shards ``r k / w`` to ``(r + 1) k / w - 1`` of ``k``, so that values
    gathered by rank are in the order of the shards.

    Args:
        count: ``k``, shards per batch.
        group: The processes of the run; None for one process.
    """

    def __init__(self, count: int = 1, group: ProcessGroup | None = None) -> None:
        self.count, self.group = count, group
        self.world = 1 if group is None else group.size
        self.rank = 0 if group is None else group.rank
        self.local = count // self.world
        self.first = self.rank * self.local
        self.steps = 0
        self._modules: list[ref[nn.Module]] = []

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def rows(self, size: int) -> slice:
        """Return which images of a batch belong to the shards of this process.

        Args:
            size: Images of the whole batch; images after the last whole shard are left out.
        """
        each = size // self.count
        return slice(self.first * each, (self.first + self.local) * each)

    def check(self, size: int, where: str) -> None:
        """Check that a batch divides into shards.

        Args:
            size: Images of the batch.
            where: The split, for the message.

        Raises:
            DataError: It does not.
        """
        if size % self.count:
            nearest = max(1, round(size / self.count)) * self.count
            raise DataError(
                f"{where}: a batch of {size} images does not divide into {self.count} equal shards. Set its "
                f"batch_size to {nearest}, or run.shards to a divisor of {size}."
            )

    def watch(self, module: nn.Module) -> None:
        """Average the buffers of a module over the shards, such as the running statistics of its norms."""
        if self.count > 1:
            others = [known for known in self._modules if known() not in (None, module)]
            self._modules = [*others, ref(module)]

    def buffers(self) -> list[Tensor]:
        """Return the buffers of all watched modules that still exist, each once."""
        modules = [module for known in self._modules if (module := known()) is not None]
        return list({id(b): b for module in modules for b in module.buffers()}.values())

    def mean(self, rows: Sequence[Tensor]) -> Tensor:
        """Return the mean over all shards, summed in their order.

        Every number of processes computes the same sum of the same terms, so it has the same bits.

        Args:
            rows: One tensor for each shard of this process, all of one shape.
        """
        total = rows[0]
        if self.group is not None:
            summed = self.group.sum_in_order(torch.stack([row.reshape(-1) for row in rows]))
            return summed.view(total.shape) / self.count
        for row in rows[1:]:
            total = total + row
        return total / self.count

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all shards in their order.

        Args:
            rows: ``(L, n)``, one row for each shard of this process.

        Returns:
            ``(k, n)``.
        """
        return rows if self.group is None else self.group.gather(rows)

    def union(self, flags: Sequence[bool]) -> list[bool]:
        """Return what is true in any process, item by item.

        Args:
            flags: Of this process; as many in every other.
        """
        return list(flags) if self.group is None else self.group.union(flags)

    def agreed(self, value: Any) -> Any:
        """Return rank 0's value, JSON data, so that all processes continue with the same."""
        return value if self.group is None else self.group.broadcast(value)

    def total(self, count: int) -> int:
        """Return the sum of an integer over all processes."""
        return count if self.group is None else sum(self.group.exchange(count))

    def wait(self) -> None:
        """Wait until all processes are here, for instance after rank 0 has written a file."""
        if self.group is not None:
            self.group.exchange(None)

    def run_everywhere(self, task: Callable[[], T]) -> T:
        """Do a task in every process; if it fails in one, it fails in all.

        Args:
            task: Must not talk to other processes.

        Raises:
            NasforgeError: Of the first process in which it failed, with its name.
        """
        if self.group is None:
            return task()
        result, error = _attempt(task)
        for rank, found in enumerate(self.group.exchange(_describe(error))):
            if found is not None:
                name = f"process {rank} on {found['host']}: " if rank else ""
                raise RunError(f"{name}{found['message']}") from error
        return cast("T", result)

    def from_main(self, task: Callable[[], T]) -> T:
        """Return the result of a task that rank 0 does alone, JSON data.

        Args:
            task: Sees one process that has all shards.

        Raises:
            NasforgeError: It failed.
        """
        if self.group is None:
            return task()
        group, result, error = self.group, None, None
        if self.is_main:
            with self.alone():
                result, error = _attempt(task)
        found = group.broadcast({"result": result, "error": _describe(error)})
        if error is not None:
            raise error
        if found["error"] is not None:
            raise RunError(found["error"]["message"])
        return cast("T", result if self.is_main else found["result"])

    def main_first(self, task: Callable[[], T]) -> T:
        """Do a task in rank 0, then in all others, which may read what it wrote; see `run_everywhere`."""
        if self.group is None:
            return task()
        first = self.run_everywhere(task if self.is_main else lambda: cast("T", None))
        rest = self.run_everywhere(task if not self.is_main else lambda: cast("T", None))
        return first if self.is_main else rest

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let this process have all shards inside the block, and talk to no other."""
        kept = self.group, self.world, self.rank, self.local, self.first
        self.group, self.world, self.rank, self.local, self.first = None, 1, 0, self.count, 0
        try:
            yield
        finally:
            self.group, self.world, self.rank, self.local, self.first = kept


def _attempt(task: Callable[[], T]) -> tuple[T | None, NasforgeError | None]:
    try:
        return task(), None
    except NasforgeError as error:
        return None, error


def _describe(error: NasforgeError | None) -> dict[str, str] | None:
    return None if error is None else {"message": str(error), "host": socket.gethostname()}
