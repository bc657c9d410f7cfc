"""The pieces every training loop here is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from nasforge.errors import RunError
from nasforge.nn.noise import random_state, set_random_state
from nasforge.runtime import Runtime
from nasforge.runtime.shards import Shards
from nasforge.training.optim import match_layout
from nasforge.training.stopping import until_stopped

__all__ = [
    "RunningScores",
    "Scores",
    "accuracy",
    "check_finite",
    "cosine_lr",
    "isolated_random",
    "load_optimizer",
    "random_state",
    "score",
    "set_lr",
    "set_random_state",
    "train_epoch",
]


class Scores(NamedTuple):
    """Measurements of a pass over images.

    Attributes:
        loss: Mean per image.
        accuracy: Share of images whose highest logit is right, in percent.
    """

    loss: float
    accuracy: float


def check_finite(loss: Tensor, where: str) -> None:
    """Stop a run whose loss is not a number, before it spoils the weights.

    Args:
        loss: A scalar.
        where: The trained part and the moment, for the message: ``"search, epoch 3, batch 17"``.

    Raises:
        RunError: The loss is infinite or not a number.
    """
    if not torch.isfinite(loss):
        raise RunError(
            f"{where}: the loss is {loss.item()}. The last checkpoint is kept: lower the learning rate or "
            "set a clipping norm, and run again in a new folder."
        )


class RunningScores:
    """Loss and accuracy of the batches so far, with a check that every loss is a number.

    On a GPU the values stay there until `read`, because fetching each would make the processor wait for
    every batch; a bad loss is then found a few batches late, but named exactly.

    Args:
        where: The trained part and the epoch, for the message of a bad loss: ``"train, epoch 3"``.
        defer: Whether values stay where they are until `read`; None: unless that is the CPU.
        shards: Shards of the batches, if each process counts its own: losses are then means over all shards.
    """

    def __init__(self, where: str, defer: bool | None = None, shards: Shards | None = None) -> None:
        self._where, self._defer = where, defer
        self._shards = shards or Shards()
        self._pending: list[tuple[Tensor, Tensor, int]] = []
        self._batches = self._images = 0
        self._loss, self._right = 0.0, 0

    @property
    def batches(self) -> int:
        """Number of batches so far."""
        return self._batches + len(self._pending)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far, over all processes: all of them must call this."""
        self._fetch()
        return {
            "batches": self._batches,
            "images": self._images,
            "loss": self._loss,
            "right": self._shards.total(self._right),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._batches, self._images = state["batches"], state["images"]
        # Each process counts the answers of its own shards.
        self._loss, self._right = state["loss"], state["right"] if self._shards.is_main else 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count one batch.

        Args:
            loss: Its mean loss, a scalar.
            logits: Shape ``(B, classes)``.
            labels: Shape ``(B,)``.

        Raises:
            RunError: The loss is infinite or not a number (found in `read` if deferred).
        """
        right = (logits.detach().argmax(1) == labels).sum()
        images = labels.numel() * self._shards.world  # as many in every process
        self._pending.append((loss.detach().float(), right, images))
        if not (loss.device.type != "cpu" if self._defer is None else self._defer):
            self._fetch()

    def read(self) -> Scores:
        """Return the means over all batches so far.

        Raises:
            RunError: There was no batch, or a loss is infinite or not a number; names the batch.
        """
        self._fetch()
        if not self._images:
            raise RunError(f"{self._where}: the data gave no batch. Lower the batch size.")
        right = self._shards.total(self._right)
        return Scores(self._loss / self._images, 100.0 * right / self._images)

    def _fetch(self) -> None:
        if not self._pending:
            return
        losses = torch.stack([loss for loss, _, _ in self._pending]).cpu()
        rights = torch.stack([right for _, right, _ in self._pending]).tolist()
        for loss, right, (_, _, images) in zip(losses, rights, self._pending, strict=True):
            self._batches += 1
            check_finite(loss, f"{self._where}, batch {self._batches}")
            self._loss += float(loss) * images
            self._right += right
            self._images += images
        self._pending.clear()


def train_epoch(
    batches: Iterable[tuple[Tensor, Tensor]],
    step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    where: str,
    *,
    every: int = 0,
    progress: Callable[[int, Scores], None] = lambda _batches, _scores: None,
    running: RunningScores | None = None,
) -> Scores:
    """Run one pass of training, or the rest of one.

    Args:
        batches: Images ``(B, C, S, S)`` and labels ``(B,)``.
        step: Trains on one batch and returns its loss and logits.
        where: See `RunningScores`.
        every: After how many batches to call ``progress``; 0 for never.
        progress: Given the number of batches so far and their scores.
        running: Scores of the batches of this pass so far; None for none.

    Returns:
        Scores over all images, each as the network was when it saw them.

    Raises:
        RunError: A loss is infinite or not a number, or there was no batch.
    """
    running = RunningScores(where) if running is None else running
    for count, (images, labels) in enumerate(batches, running.batches + 1):
        loss, logits = step(images, labels)
        running.add(loss, logits, labels)
        if every and count % every == 0:
            progress(count, running.read())
    return running.read()


@torch.no_grad()
def score(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    runtime: Runtime,
    where: str = "scoring",
    *,
    batch_statistics: bool = False,
) -> Scores:
    """Return cross-entropy and accuracy of a network.

    Args:
        network: Returns an `Output`; put into `eval` mode for the time of the call.
        batches: Images ``(B, C, S, S)`` and labels ``(B,)``.
        runtime: Where and how the network computes.
        where: See `RunningScores`.
        batch_statistics: Whether batch norms use the statistics of each batch. The running ones, which stay
            as they are, are far off after a few dozen updates.

    Raises:
        RunError: A loss is infinite or not a number, or there was no batch.
        Stopped: A stop was requested.
    """
    running = RunningScores(where)
    training = network.training
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)] if batch_statistics else []
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.training, norm.momentum = True, 0.0
    try:
        for images, labels in until_stopped(batches):
            with runtime.autocast():
                logits = network(runtime.prepare_images(images)).logits
            running.add(F.cross_entropy(logits.float(), labels), logits, labels)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.train(training)
    # Every process has measured the same; on GPUs the last bits may differ.
    return Scores(*runtime.shards.agreed(running.read()))


def accuracy(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], runtime: Runtime) -> float:
    """Return the accuracy that `score` measures, in percent."""
    return score(network, batches, runtime).accuracy


def cosine_lr(epoch: int, epochs: int, lr: float, min_lr: float = 0.0, warmup_epochs: int = 0) -> float:
    """Return the learning rate of an epoch: half a cosine, multiplied by a linear rise at the start.

    Args:
        epoch: From 0.
        epochs: Length of the training.
        lr: Where the cosine starts.
        min_lr: Where it would end, one epoch after the last.
        warmup_epochs: Epoch ``e`` of these uses the share ``(e + 1) / warmup_epochs`` of the cosine.
    """
    cosine = min_lr + (lr - min_lr) * (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0
    return cosine * min(1.0, (epoch + 1) / warmup_epochs) if warmup_epochs else cosine


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)  # a captured step reads it where it is
        else:
            group["lr"] = lr


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Restore an optimiser from a checkpoint.

    A checkpoint stores tensors in plain layout; buffers go back to the layout of their parameters: an update
    over two layouts is slower, and may round differently.

    Args:
        optimizer: Made for the same parameters.
        state: The result of its ``state_dict()``.
    """
    optimizer.load_state_dict(dict(state))
    for parameter, buffers in optimizer.state.items():
        buffers.update(match_layout(parameter, buffers))


@contextmanager
def isolated_random(device: torch.device, seed: int) -> Iterator[None]:
    """Run a block with torch's global generators set to ``seed``; afterwards, restore them.

    Args:
        device: Where the block computes.
        seed: Seed of the generators.
    """
    states = random_state(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(device, states)
