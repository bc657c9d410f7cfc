"""Drop-path: switch whole paths of a network off at random while it trains (FractalNet, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["DropPath", "set_drop_path"]


class DropPath(nn.Module):
    """Zeroes its input for a random share of the images of a batch, and scales the others up.

    Attributes:
        rate: Share of images dropped, 0 to below 1; 0 and `eval` mode make it the identity.
    """

    rate: float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with dropped images zeroed; its first dimension counts the images."""
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = torch.empty((x.shape[0], *[1] * (x.dim() - 1)), dtype=x.dtype, device=x.device).bernoulli_(
            keep
        )
        return x * (mask / keep)


def set_drop_path(network: nn.Module, rate: float) -> None:
    """Set the rate of every `DropPath` inside ``network``.

    Args:
        network: Any module.
        rate: Share of images dropped, 0 to below 1.
    """
    for module in network.modules():
        if isinstance(module, DropPath):
            module.rate = rate
