"""Training steps in shards: a step runs once for each shard of a batch, and gradients are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from nasforge.errors import RunError
from nasforge.nn.noise import random_state, set_random_state, shared_noise
from nasforge.runtime import Runtime
from nasforge.runtime.shards import Shards
from nasforge.seeding import derive_seed

__all__ = ["ShardPass", "current_shard", "shard_generator", "step_in_shards"]


class ShardPass:
    """One shard on its way through a step.

    Args:
        batch: State that the shards of the batch share.
        place: Which of the shards of this process it is, from 0.
    """

    def __init__(self, batch: _Batch, place: int) -> None:
        self.batch, self.place = batch, place
        self.index = batch.shards.first + place
        self.updates = 0
        self._generators: dict[int, torch.Generator] = {}

    @property
    def is_first(self) -> bool:
        """Whether it is the first shard of this process."""
        return self.place == 0

    @property
    def is_last(self) -> bool:
        """Whether it is the last shard of this process."""
        return self.place == self.batch.shards.local - 1

    def collect(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> list[Tensor | None] | None:
        """Take in the gradients of this shard.

        Args:
            parameters: Parameters that the update trains, and that its norm is taken over.
            gradients: One for each; None where the shard does not depend on it.

        Returns:
            Means over all shards after the last one; None before.

        Raises:
            RunError: The step made an update before in this shard.
        """
        self.updates += 1
        if self.updates > 1:
            raise RunError(
                "run.shards: a step made two updates of one batch. With shards, a step may make one: split "
                "it, and run each part with step_in_shards."
            )
        return self.batch.collect(parameters, gradients, self.is_last)

    def generator(self, source: torch.Generator) -> torch.Generator:
        """Return this shard's generator for one purpose; see `shard_generator`."""
        if id(source) not in self._generators:
            seed = derive_seed(source.initial_seed(), self.batch.seed, self.index)
            self._generators[id(source)] = torch.Generator(source.device).manual_seed(seed)
        return self._generators[id(source)]


class _Batch:
    """Gradients of the shards of a batch.

    One process keeps a running sum. Several keep the gradients of each shard, because the sum over all shards
    has one order, whichever process computes which.
    """

    def __init__(self, shards: Shards, seed: int) -> None:
        self.shards, self.seed = shards, seed
        self._sums: list[list[Tensor | None]] = []

    def collect(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], last: bool
    ) -> list[Tensor | None] | None:
        if self.shards.group is None and self._sums:
            self._sums = [[_plus(*pair) for pair in zip(self._sums[0], gradients, strict=True)]]
        else:
            self._sums.append(list(gradients))
        if not last:
            return None
        if self.shards.group is None:
            return [None if g is None else g / self.shards.count for g in self._sums[0]]
        return self._exchange(parameters)

    def _exchange(self, parameters: Sequence[Tensor]) -> list[Tensor | None]:
        columns = list(zip(*self._sums, strict=True))
        has = self.shards.union([any(g is not None for g in column) for column in columns])
        shapes = {i: p.detach() for i, p in enumerate(parameters) if has[i]}
        means: list[Tensor | None] = [None] * len(columns)
        for dtype in dict.fromkeys(like.dtype for like in shapes.values()):
            chosen = [i for i, like in shapes.items() if like.dtype == dtype]
            rows = [
                torch.cat([_flat(columns[i][place], shapes[i]) for i in chosen])
                for place in range(self.shards.local)
            ]
            parts = self.shards.mean(rows).split([shapes[i].numel() for i in chosen])
            for i, part in zip(chosen, parts, strict=True):
                means[i] = torch.empty_like(shapes[i]).copy_(part.view(shapes[i].shape))
        return means


_shard: ContextVar[ShardPass | None] = ContextVar("shard", default=None)


def current_shard() -> ShardPass | None:
    """Return the shard whose step is running; None outside of `step_in_shards`, or with one shard."""
    return _shard.get()


def shard_generator(generator: torch.Generator) -> torch.Generator:
    """Return a generator for the shard that is running, whose draws do not depend on other shards.

    Args:
        generator: The generator of a whole epoch; it is not advanced. Outside of shards, it is returned.
    """
    shard = _shard.get()
    return generator if shard is None else shard.generator(generator)


def step_in_shards(
    runtime: Runtime, step: Callable[..., Mapping[str, Tensor]], *batch: Any
) -> dict[str, Tensor]:
    """Run a training step once for each shard of this process, and make its update once.

    Norms see one shard. Gradients are means over all shards, and so are running statistics: each shard starts
    from those before the batch. Noise that decides an architecture is equal in all shards; all other noise is
    a function of batch and shard. So the result does not depend on the number of processes.

    With one shard, it calls the step.

    Args:
        runtime: Has the shards.
        step: Trains on what it is given, with one update at most; returns scalars by name.
        batch: Arguments of ``step``: tensors whose first dimension counts the images of this process, tuples
            of them, and anything else, which all shards get as it is.

    Returns:
        The means over all shards of what ``step`` returned.
    """
    shards = runtime.shards
    if shards.count == 1:
        return dict(step(*batch))
    shards.steps += 1
    seed = int(torch.randint(2**62, ()))
    before = random_state(runtime.device)
    found: list[Mapping[str, Tensor]] = []
    buffers, common = _SharedBuffers(shards), _Batch(shards, seed)
    try:
        for place in range(shards.local):
            shard = ShardPass(common, place)
            buffers.begin()
            torch.manual_seed(derive_seed(seed, "shard", shard.index))
            with shared_noise(runtime.device, derive_seed(seed, "architecture")), _running(shard):
                found.append(step(*(_cut(part, place, shards.local) for part in batch)))
            buffers.note()
    finally:
        set_random_state(runtime.device, before)
    buffers.finish()
    if not found[0]:
        return {}
    rows = torch.stack([torch.stack([v.detach().float() for v in values.values()]) for values in found])
    return dict(zip(found[0], shards.mean(list(rows)).unbind(), strict=True))


@contextmanager
def _running(shard: ShardPass) -> Iterator[None]:
    token = _shard.set(shard)
    try:
        yield
    finally:
        _shard.reset(token)


def _cut(part: Any, place: int, count: int) -> Any:
    """Return one of ``count`` equal parts of a batch, as memory of its own."""
    if isinstance(part, tuple):
        return tuple(_cut(inner, place, count) for inner in part)
    if not isinstance(part, Tensor) or not part.dim():
        return part
    each = len(part) // count
    return part[place * each : (place + 1) * each].clone()


def _plus(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right


def _flat(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like).reshape(-1) if gradient is None else gradient.detach().reshape(-1)


class _SharedBuffers:
    """Buffers of all networks around the shards of a batch.

    Every shard starts from the buffers before the batch. At the end, those of floating point are means over
    the shards where any shard changed them. Others, such as counts, change alike in all shards. Batch norms
    write their statistics without a trace (`Tensor._version` stays), so all buffers are compared.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        tensors = shards.buffers()
        self._floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        self._others = [tensor for tensor in tensors if not tensor.is_floating_point()]
        self._before = [tensor.clone() for tensor in self._floats]
        self._others_before = [tensor.clone() for tensor in self._others]
        self._rows: list[list[Tensor]] = []

    @torch.no_grad()
    def begin(self) -> None:
        """Give the buffers the values from before the batch."""
        if self._rows:
            _copy(self._floats, self._before)
            _copy(self._others, self._others_before)

    @torch.no_grad()
    def note(self) -> None:
        """Keep the values that a shard left."""
        self._rows.append([tensor.clone() for tensor in self._floats])

    @torch.no_grad()
    def finish(self) -> None:
        """Give the buffers their values after the batch."""
        for kind in dict.fromkeys((tensor.dtype, tensor.device) for tensor in self._floats):
            chosen = [i for i, t in enumerate(self._floats) if (t.dtype, t.device) == kind]
            before = torch.cat([self._before[i].reshape(-1) for i in chosen])
            rows = [torch.cat([row[i].reshape(-1) for i in chosen]) for row in self._rows]
            found = self._shards.gather(torch.stack(rows))
            total = found[0]
            for row in found[1:]:
                total = total + row
            values = torch.where((found == before).all(0), before, total / len(found))
            parts = values.split([self._floats[i].numel() for i in chosen])
            shaped = [p.view(self._floats[i].shape) for i, p in zip(chosen, parts, strict=True)]
            _copy([self._floats[i] for i in chosen], shaped)


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(targets, sources)
