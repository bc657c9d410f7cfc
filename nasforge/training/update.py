"""Updates of parameters: backward pass, clipping, optimiser step. Nothing else steps an optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from nasforge.training.loss_scale import LossScale
from nasforge.training.shards import ShardPass, current_shard

__all__ = ["Update"]


class Update:
    """Turns a loss, or gradients, into a step of one or several optimisers.

    Gradients are cleared before the backward pass and after the step, so that none is kept during the next
    forward pass. Subclasses change which gradients are cleared and over which parameters the norm is taken.

    Inside `nasforge.training.shards.step_in_shards`, every shard of a batch calls the same method, and the
    last one makes the step, along the mean of the gradients of all shards.

    Args:
        clip: Largest norm of the gradients; 0 does not clip.
        loss_scale: Scales losses, and skips steps whose gradients are not finite; None does neither. Several
            updates can share one.
    """

    def __init__(self, clip: float = 0.0, loss_scale: LossScale | None = None) -> None:
        self.clip, self.loss_scale = clip, loss_scale

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
        clipped = list(clipped)  # read twice
        shard = current_shard()
        if first and (shard is None or shard.is_first):
            self.clear(optimizers)
        if shard is None and self.loss_scale is None:
            loss.backward()
        elif not self._collect(loss, optimizers, clipped, shard):
            return
        if not last:
            return
        if self.loss_scale is not None and not self.loss_scale.end_step():
            self.finish(optimizers)
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
            gradients: One for each, of a loss that was `scaled`.
            optimizer: Stepped once.
        """
        shard = current_shard()
        means = gradients if shard is None else shard.collect(parameters, gradients)
        if means is None:
            return
        if self.loss_scale is not None:
            means = self.loss_scale.unscale(means)
            if not self.loss_scale.end_step():
                return
        for parameter, gradient in zip(parameters, means, strict=True):
            parameter.grad = gradient
        self._step([optimizer], parameters)

    def scaled(self, loss: Tensor) -> Tensor:
        """Return a loss to differentiate for `apply`, which undoes its scale; `descend` scales by itself."""
        return loss if self.loss_scale is None else loss * self.loss_scale.factor

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

    def _collect(
        self,
        loss: Tensor,
        optimizers: Sequence[Optimizer],
        clipped: Iterable[nn.Parameter],
        shard: ShardPass | None,
    ) -> bool:
        """Differentiate the loss, of a shard or scaled; add the gradients to what was there before.

        Returns:
            Whether they are there: with shards, the means over all of them, after the last one.
        """
        trained = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        parameters = list({id(p): p for p in [*trained, *self.norm_parameters(clipped)]}.values())
        earlier = [p.grad for p in parameters]
        for parameter in parameters:
            parameter.grad = None
        self.scaled(loss).backward()
        found = [p.grad for p in parameters]
        means = found if shard is None else shard.collect(parameters, found)
        if means is not None and self.loss_scale is not None:
            means = self.loss_scale.unscale(means)
        for number, (parameter, before) in enumerate(zip(parameters, earlier, strict=True)):
            mean = None if means is None else means[number]
            parameter.grad = mean if before is None else before if mean is None else before + mean
        return means is not None

    def _step(self, optimizers: Sequence[Optimizer], clipped: Iterable[nn.Parameter]) -> None:
        if self.clip > 0:
            clip_grad_norm_(self.norm_parameters(clipped), self.clip)
        for optimizer in optimizers:
            optimizer.step()
        self.finish(optimizers)
