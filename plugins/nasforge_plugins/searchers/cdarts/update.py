"""The update of CDARTS: which gradients are cleared, and over which parameters the norm is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import nn
from torch.optim import Optimizer

from nasforge.training.loss_scale import LossScale
from nasforge.training.update import Update
from nasforge_plugins.searchers.cdarts.config import QuirkOptions

__all__ = ["QuirkyUpdate"]


class QuirkyUpdate(Update):
    """An update with the quirks of the published code, each if the options ask for it.

    Args:
        clip: Largest norm of the gradients; 0 does not clip.
        quirks: The quirks.
        everything: Returns the parameters of both networks, the distiller and the architecture.
        loss_scale: See `Update`.
    """

    def __init__(
        self,
        clip: float,
        quirks: QuirkOptions,
        everything: Callable[[], Iterable[nn.Parameter]],
        loss_scale: LossScale | None = None,
    ) -> None:
        super().__init__(clip, loss_scale)
        self._quirks, self._everything = quirks, everything

    @property
    def needs_all_gradients(self) -> bool:
        """Whether gradients of parameters that do not step change the update."""
        return self._quirks.clip_scope == "all" and self.clip > 0

    @property
    def leaves_gradients(self) -> bool:
        """Whether the next update reads gradients of this one, so that they belong to the state."""
        return self._quirks.stale_gradients or self._quirks.zero_gradients

    def clear(self, optimizers: Sequence[Optimizer]) -> None:
        """Clear all gradients before the backward pass, or only those that ``optimizers`` own."""
        quirks = self._quirks
        if quirks.stale_gradients:
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=not quirks.zero_gradients)
            return
        for parameter in self._everything():
            if parameter.grad is not None:
                parameter.grad = parameter.grad.zero_() if quirks.zero_gradients else None

    def finish(self, optimizers: Sequence[Optimizer]) -> None:
        """Clear all gradients after the step, unless the next update reads them."""
        if not self.leaves_gradients:
            self.clear(optimizers)

    def norm_parameters(self, clipped: Iterable[nn.Parameter]) -> Iterable[nn.Parameter]:
        """Return all parameters, or those of the network that learns."""
        return list(self._everything()) if self._quirks.clip_scope == "all" else clipped
