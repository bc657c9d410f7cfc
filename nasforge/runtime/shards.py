"""Shards: the equal parts of a batch whose gradients are averaged, and which process computes which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
from torch import Tensor, nn

from nasforge.errors import DataError

if TYPE_CHECKING:
    from nasforge.runtime.distributed import ProcessGroup

__all__ = ["Shards"]


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
            where: What is read, for the message.

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
        if self.count > 1 and all(known() is not module for known in self._modules):
            self._modules.append(ref(module))

    def buffers(self) -> list[Tensor]:
        """Return the buffers of all watched modules that still exist, each once."""
        self._modules = [known for known in self._modules if known() is not None]
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
            return self.group.sum_in_order(torch.stack(list(rows))) / self.count
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
        """Return rank 0's value, JSON data, so that all processes go on with the same."""
        return value if self.group is None else self.group.broadcast(value)

    def total(self, count: int) -> int:
        """Return the sum of an integer over all processes."""
        return count if self.group is None else sum(self.group.exchange(count))

    def wait(self) -> None:
        """Wait until all processes are here, for instance after rank 0 has written a file."""
        if self.group is not None:
            self.group.exchange(None)
