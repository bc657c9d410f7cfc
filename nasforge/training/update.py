"""Updates of parameters: backward pass, clipping, optimiser step. Nothing else steps an optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

__all__ = ["Update"]


class Update:
    """Turns a loss, or gradients, into a step of one or several optimisers.

    Gradients are cleared before the backward pass and after the step, so that none is kept during the next
    forward pass. Subclasses change which gradients are cleared and over which parameters the norm is taken.

    Args:
        clip: Largest norm of the gradients; 0 does not clip.
    """

    def __init__(self, clip: float = 0.0) -> None:
        self.clip = clip

    def descend(
        self,
        loss: Tensor,
        optimizers: Sequence[Optimizer],
        clipped: Iterable[nn.Parameter] = (),
        *,
        edit: Callable[[], None] | None = None,
        first: bool = True,
        last: bool = True,
    ) -> None:
        """Differentiate a loss and step. Several losses can add up their gradients for one step.

        Args:
            loss: A scalar.
            optimizers: Stepped in this order.
            clipped: The parameters whose joint norm is limited.
            edit: Called between backward pass and clipping; may change gradients.
            first: Whether this is the first loss of the step: gradients are cleared before it.
            last: Whether this is the last one: the optimisers step after it.
        """
        if first:
            self.clear(optimizers)
        loss.backward()
        if not last:
            return
        if edit is not None:
            edit()
        self._step(optimizers, clipped)

    def apply(
        self, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], optimizer: Optimizer
    ) -> None:
        """Step along gradients that were computed otherwise.

        Args:
            parameters: Trained by ``optimizer``.
            gradients: One for each.
            optimizer: Stepped once.
        """
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._step([optimizer], parameters)

    def clear(self, optimizers: Sequence[Optimizer]) -> None:
        """Clear gradients before the backward pass: by default, those that ``optimizers`` own."""
        for optimizer in optimizers:
            optimizer.zero_grad()

    def finish(self, optimizers: Sequence[Optimizer]) -> None:
        """Clear gradients after the step: by default, those that ``optimizers`` own."""
        for optimizer in optimizers:
            optimizer.zero_grad()

    def norm_parameters(self, clipped: Iterable[nn.Parameter]) -> Iterable[nn.Parameter]:
        """Return the parameters over which the norm is taken: by default, those that the caller names."""
        return clipped

    def _step(self, optimizers: Sequence[Optimizer], clipped: Iterable[nn.Parameter]) -> None:
        if self.clip > 0:
            clip_grad_norm_(self.norm_parameters(clipped), self.clip)
        for optimizer in optimizers:
            optimizer.step()
        self.finish(optimizers)
