"""A training that is made of epochs: learning rate, progress reports, updates, state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nasforge.data import DataModule, Split
from nasforge.runtime import Runtime
from nasforge.training.loops import (
    RunningScores,
    Scores,
    load_optimizer,
    random_state,
    set_lr,
    set_random_state,
    train_epoch,
)
from nasforge.training.loss_scale import loss_scale_for
from nasforge.training.shards import step_in_shards
from nasforge.training.stopping import until_stopped
from nasforge.training.update import Update

__all__ = ["EpochTraining"]


class _Part(NamedTuple):
    """Place of a batch in a step of the optimiser; ``share`` is its weight in the mean of the losses."""

    share: Tensor
    first: bool
    last: bool


class EpochTraining(ABC):
    """Trains modules with one optimiser, epoch by epoch, and resumes exactly.

    Args:
        data: The images.
        runtime: Where and how the modules compute.
        modules: By name in the state.
        optimizer: Of ``parameters``.
        parameters: The trained parameters, which are clipped together.
        clip: Largest norm of the gradients; 0 does not clip.
        accumulate: Batches whose gradients make one step; the last step of an epoch may have fewer. They are
            read before the first of them is used.
    """

    share_name = "done"
    """Name of the share of the training that is over, in progress reports."""

    def __init__(
        self,
        data: DataModule[Any],
        runtime: Runtime,
        modules: Mapping[str, nn.Module],
        optimizer: Optimizer,
        parameters: list[nn.Parameter],
        clip: float,
        accumulate: int = 1,
    ) -> None:
        self.data, self.runtime, self.modules = data, runtime, dict(modules)
        self.optimizer, self.parameters = optimizer, parameters
        self.update = Update(clip, loss_scale_for(runtime))
        self._accumulate = accumulate
        self._part: _Part | None = None
        self._running: RunningScores | None = None
        self._position: Mapping[str, Any] | None = None

    @abstractmethod
    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, a scalar, and its logits ``(B, classes)``.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
        """

    def edit_gradients(self) -> None:
        """Change gradients between backward pass and clipping; by default, do nothing."""
        return

    def after_update(self) -> None:
        """Follow a step of the optimiser, for instance with an average of weights; by default, do nothing."""
        return

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Train on one batch; return its loss, and the logits of the images of this process.

        Args:
            images: Those of this process, ``(B, C, S, S)``.
            labels: ``(B,)``.
        """
        part, found = self._part, list[Tensor]()

        def step(images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            loss, logits = self.loss(images, labels)
            found.append(logits)
            descend = partial(self.update.descend, edit=self.edit_gradients)
            if part is None:
                descend(loss, [self.optimizer], self.parameters)
            else:
                scaled = loss * part.share
                descend(scaled, [self.optimizer], self.parameters, first=part.first, last=part.last)
            return {"loss": loss}

        loss = step_in_shards(self.runtime, step, images, labels)["loss"]
        if part is None or part.last:
            self.after_update()
        return loss, found[0] if len(found) == 1 else torch.cat(found)

    def amount(self, labels: Tensor) -> Tensor:
        """Return the weight of a batch among those that make one step, a scalar: its number of images.

        Args:
            labels: ``(B,)``.
        """
        return torch.full((), float(len(labels)), device=labels.device)

    def _total_amount(self, labels: Tensor) -> Tensor:
        """Return the amount of a batch, over all shards."""
        shards = self.runtime.shards
        if shards.count == 1:
            return self.amount(labels)
        return shards.mean([self.amount(part) for part in labels.chunk(shards.local)])

    def _grouped(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches, and set before each which part of a step it is."""
        batches = iter(batches)
        while group := list(islice(batches, self._accumulate)):
            amounts = torch.stack([self._total_amount(labels) for _, labels in group])
            shares = amounts / amounts.sum()
            for number, batch in enumerate(group, 1):
                self._part = _Part(shares[number - 1], number == 1, number == len(group))
                yield batch
        self._part = None

    def train(
        self,
        split: Split,
        epoch: int,
        epochs: int,
        *,
        lr: float,
        batch_size: int,
        batches: int | None = None,
        first_order: int = 0,
        where: str,
        report: Callable[[Mapping[str, float]], None],
    ) -> Scores:
        """Train for one epoch.

        Args:
            split: The images to train on.
            epoch: From 0.
            epochs: Length of the training.
            lr: Learning rate of the epoch.
            batch_size: Images per batch.
            batches: Batches of the epoch; None: as many as the split has.
            first_order: The order of the images of epoch 0; orders are numbered like epochs.
            where: The trained part, for messages: ``"train"``.
            report: Called about ten times.

        Raises:
            RunError: The loss is infinite or not a number; names epoch and batch.
            Stopped: A stop was requested; `state_dict` and `position` describe the moment.
        """
        set_lr(self.optimizer, lr)
        most = self.data.num_batches(split, batch_size=batch_size)
        length = most if batches is None else min(batches, most)

        def progress(count: int, scores: Scores) -> None:
            done = (epoch + min(count / length, 1.0)) / epochs
            values = {self.share_name: done, "epoch": epoch + 1, **scores._asdict(), "lr": lr}
            report({**values, **self.update_metrics()})

        shards, order = self.runtime.shards, first_order + epoch
        if shards.count == 1:
            images = self.data.batches(split, epoch=order, batch_size=batch_size)
        else:
            images = self.data.shard_batches(split, shards, epoch=order, batch_size=batch_size)
        if batches is not None:
            images = islice(images, length)
        where = f"{where}, epoch {epoch + 1}"
        self._running = running = RunningScores(where, shards=shards)
        if self._position is not None:
            running.load_state_dict(self._position["scores"])
            self.load_draws(self._position["draws"])
            self._position = None
        images = until_stopped(islice(images, running.batches, None))
        if self._accumulate > 1:
            images = self._grouped(images)
        every = max(1, length // 10)
        return train_epoch(images, self.step, where, every=every, progress=progress, running=running)

    def draws(self) -> dict[str, Any]:
        """Return the state of generators that every epoch starts anew. Default: there are none."""
        return {}

    def load_draws(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """Restore what `draws` returned."""

    def position(self) -> dict[str, Any] | None:
        """Return where the current epoch was stopped; None if none has begun."""
        if self._position is not None:
            return dict(self._position)
        if self._running is None:
            return None
        return {"scores": self._running.state_dict(), "draws": self.draws()}

    def resume_at(self, position: Mapping[str, Any] | None) -> None:
        """Let the next epoch resume where it was stopped.

        Args:
            position: The result of `position`; None begins the epoch. The weights are those of
                `load_state_dict`.
        """
        self._position = position

    def update_metrics(self) -> dict[str, float]:
        """Return the number of skipped steps and the scale of the loss in float16; else nothing."""
        return {} if self.update.loss_scale is None else self.update.loss_scale.metrics()

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next epochs depend on, the global generators included."""
        scale = self.update.loss_scale
        return {
            **{name: module.state_dict() for name, module in self.modules.items()},
            "optimizer": self.optimizer.state_dict(),
            "random": random_state(self.runtime.device),
            **({} if scale is None else {"loss_scale": scale.state_dict()}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, module in self.modules.items():
            module.load_state_dict(state[name])
        load_optimizer(self.optimizer, state["optimizer"])
        set_random_state(self.runtime.device, state["random"])
        if self.update.loss_scale is not None:
            self.update.loss_scale.load_state_dict(state["loss_scale"])
