"""One update: which gradients are cleared, what the clipping norm is taken over, who steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

__all__ = ["UpdateRule"]


@dataclass(frozen=True)
class UpdateRule:
    """How a loss becomes a step; see the options of the same names.

    Attributes:
        clip: Largest norm; 0 does not clip.
        clip_scope: What the norm is taken over.
        stale_gradients: Clear only what the optimisers that step own.
        zero_gradients: Clear to zeros instead of to nothing.
    """

    clip: float = 5.0
    clip_scope: Literal["all", "per_network"] = "per_network"
    stale_gradients: bool = False
    zero_gradients: bool = False

    @property
    def needs_all_gradients(self) -> bool:
        """Whether gradients of parameters that do not step change the update."""
        return self.clip_scope == "all" and self.clip > 0

    @property
    def leaves_gradients(self) -> bool:
        """Whether the next update reads gradients of this one, so that they belong to the state."""
        return self.stale_gradients or self.zero_gradients

    def apply(
        self,
        loss: Tensor,
        optimizers: Sequence[Optimizer],
        network: Iterable[nn.Parameter],
        everything: Iterable[nn.Parameter],
    ) -> None:
        """Clear, differentiate, clip and step.

        Args:
            loss: A scalar.
            optimizers: Stepped in this order.
            network: The parameters of the network that learns: the norm of ``"per_network"``.
            everything: The parameters of both networks, the distiller and the architecture.
        """
        everything = list(everything)
        if self.stale_gradients:
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=not self.zero_gradients)
        else:
            for parameter in everything:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.zero_() if self.zero_gradients else None
        loss.backward()
        if self.clip > 0:
            clip_grad_norm_(everything if self.clip_scope == "all" else network, self.clip)
        for optimizer in optimizers:
            optimizer.step()
