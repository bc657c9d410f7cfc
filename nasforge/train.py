"""The pieces every training loop here is made of."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nasforge.errors import RunError
from nasforge.runtime import Runtime

__all__ = ["accuracy", "check_finite"]


def check_finite(loss: Tensor, where: str) -> None:
    """Stop a run whose loss is no number, before it spoils the weights.

    Args:
        loss: A scalar.
        where: What was trained and when, for the message: ``"search, epoch 3, batch 17"``.

    Raises:
        RunError: The loss is infinite or not a number.
    """
    if not torch.isfinite(loss):
        raise RunError(
            f"{where}: the loss is {loss.item()}. The last checkpoint is kept: lower the learning rate or "
            "set a clipping norm, and run again in a new folder."
        )


@torch.no_grad()
def accuracy(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], runtime: Runtime) -> float:
    """Return the share of images whose highest logit is right, in percent.

    Args:
        network: Returns an `Output`; put into `eval` mode for the time of the call.
        batches: Images ``(B, C, S, S)`` and labels ``(B,)``.
        runtime: Where and how the network computes.
    """
    training = network.training
    network.eval()
    right = total = 0
    for images, labels in batches:
        with runtime.autocast():
            logits = network(images).logits
        right += int((logits.argmax(1) == labels).sum())
        total += labels.numel()
    network.train(training)
    return 100.0 * right / total
