"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Running average ``m ← d m + (1 - d) w`` of weights and float buffers (Polyak and Juditsky, 1992).

    Integer buffers, such as the counts of batch norms, are copied. Floats narrower than 32 bits are averaged
    in float32.

    Args:
        module: The module whose weights are averaged; its values now are the first average.
        decay: ``d``, below 1.
        warmup: Whether update ``n``, counted from 0, uses ``min(d, (1 + n) / (10 + n))``, so that an average
            of few updates forgets the initial weights.
        every: Calls of `update` per update of the average.
    """

    def __init__(self, module: nn.Module, decay: float, *, warmup: bool = True, every: int = 1) -> None:
        self._module, self._decay, self._warmup, self._every = module, decay, warmup, every
        self._steps = 0
        self._mean = {name: _wide(tensor).clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step of the optimiser."""
        self._steps += 1
        if self._steps % self._every:
            return
        updates = self._steps // self._every - 1
        decay = min(self._decay, (1 + updates) / (10 + updates)) if self._warmup else self._decay
        for name, tensor in self._module.state_dict().items():
            if tensor.is_floating_point():
                self._mean[name].lerp_(_wide(tensor), 1.0 - decay)
            else:
                self._mean[name].copy_(tensor)

    def weights(self) -> dict[str, Tensor]:
        """Return the averages by name, as ``module.state_dict()`` has them; not copied."""
        return dict(self._mean)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the module the averaged weights inside the block, and its own ones after it."""
        own = {name: tensor.clone() for name, tensor in self._module.state_dict().items()}
        self._module.load_state_dict(self._mean)
        try:
            yield
        finally:
            self._module.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """Return averages and number of steps."""
        return {"weights": self.weights(), "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._steps = state["steps"]
        for name, tensor in state["weights"].items():
            self._mean[name].copy_(tensor)


def _wide(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
