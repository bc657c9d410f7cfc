"""Memory for time: blocks that keep their inputs only, and are run again by the backward pass.

The memory kept for the gradient then grows with the number of blocks, not of operations (Chen et
al., "Training deep nets with sublinear memory cost", 2016). The numbers stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["recomputed"]


def recomputed(block: nn.Module, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Run a block without keeping what is inside; the backward pass runs it a second time.

    The second run differentiates by the same parameters as the first, even if some are frozen in between. It
    draws the same random numbers, and moves no running statistics.

    Args:
        block: Holds the parameters and buffers.
        run: Computes it, by the block's ``forward`` or in another way.
        inputs: Arguments of ``run``.

    Returns:
        The result of ``run(*inputs)``.
    """
    if not torch.is_grad_enabled():
        return run(*inputs)
    trained = [(parameter, parameter.requires_grad) for parameter in block.parameters()]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _Repeatable(lambda: _as_before(block, trained))

    result: Tensor = checkpoint(run, *inputs, use_reentrant=False, context_fn=contexts)
    return result


class _Repeatable(AbstractContextManager[None]):
    """Enters a new context every time: second derivatives run a block more than twice."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        context = self._make()
        context.__enter__()
        self._entered.append(context)

    def __exit__(self, *error: Any) -> bool | None:
        return self._entered.pop().__exit__(*error)


@contextmanager
def _as_before(block: nn.Module, trained: list[tuple[nn.Parameter, bool]]) -> Iterator[None]:
    """Give the block the trained parameters of its first run, and scratch buffers to write to."""
    now = [(parameter, parameter.requires_grad) for parameter, _ in trained]
    buffers = [(module, dict(module._buffers)) for module in block.modules() if module._buffers]
    _set_trained(trained)
    for module, kept in buffers:
        module._buffers.update({name: None if b is None else b.clone() for name, b in kept.items()})
    try:
        yield
    finally:
        _set_trained(now)
        for module, kept in buffers:
            module._buffers.update(kept)


def _set_trained(parameters: list[tuple[nn.Parameter, bool]]) -> None:
    for parameter, trains in parameters:
        if parameter.requires_grad != trains:
            parameter.requires_grad_(trains)
