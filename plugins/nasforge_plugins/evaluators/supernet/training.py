"""Training of a supernet, one random architecture per batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.nn import Network, OptionWeights, one_hot
from nasforge.seeding import derive_seed, random_from_json, random_to_json
from nasforge.space import NetworkSpace
from nasforge.training.epochs import EpochTraining
from nasforge.training.loops import RunningScores, Scores, cosine_lr, set_lr
from nasforge_plugins.evaluators.supernet.config import SupernetConfig

__all__ = ["SupernetRehearsal", "SupernetTraining"]


class SupernetTraining(EpochTraining):
    """Single path uniform sampling (Guo et al., "Single path one-shot", ECCV 2020, section 3.2, Eq. 7).

    Build it with the global torch generator seeded. Which architecture a batch trains is a function of seed,
    epoch and batch.

    Args:
        config: How to train.
        ctx: Data and device.
        space: The space.
    """

    share_name = "prepared"

    def __init__(self, config: SupernetConfig, ctx: Context, space: NetworkSpace[Any]) -> None:
        assert ctx.data is not None
        self.config, self.ctx, self.space = config, ctx, space
        self.network: Network = ctx.runtime.prepare(space.build(ctx.data.task, scale="search")).train()
        parameters = list(self.network.parameters())
        decaying = [p for p in parameters if p.ndim > 1 or config.decay_norms]
        resting = [p for p in parameters if p.ndim <= 1 and not config.decay_norms]
        groups = [
            {"params": decaying, "weight_decay": config.weight_decay},
            {"params": resting, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, config.lr, momentum=config.momentum)
        super().__init__(ctx.data, ctx.runtime, {"network": self.network}, optimizer, parameters, config.clip)
        self._batches = ctx.data.num_batches("weights", batch_size=config.batch_size)
        self._batch = 0
        # A choice of several options runs all of them, weighted by zero or one.
        self.mixes = any(choice.k > 1 for choice in space.choices)

    def begin_epoch(self, epoch: int) -> None:
        """Seed the draws of an epoch.

        Args:
            epoch: From 0.
        """
        self._paths = Random(derive_seed(self.ctx.seed, "supernet", "paths", epoch))
        self._batch = epoch * self._batches

    def run_epoch(self, epoch: int, report: Callable[[Mapping[str, float]], None]) -> Scores:
        """Train for one epoch.

        Args:
            epoch: From 0.
            report: Called about ten times.

        Raises:
            RunError: The loss is infinite or not a number; names epoch and batch.
        """
        config = self.config
        self.begin_epoch(epoch)
        return self.train(
            "weights",
            epoch,
            config.epochs,
            lr=self.rate(self._batch),
            batch_size=config.batch_size,
            where="supernet",
            report=report,
        )

    def draws(self) -> dict[str, Any]:
        """Return the state of what draws architectures, and the number of the next batch."""
        return {"paths": random_to_json(self._paths), "batch": self._batch}

    def load_draws(self, state: Mapping[str, Any]) -> None:
        """Restore what `draws` returned."""
        random_from_json(self._paths, state["paths"])
        self._batch = state["batch"]

    def rate(self, batch: int) -> float:
        """Return the learning rate of a batch.

        The published code steps its schedule before its optimiser: since torch 1.1 that skips the first value
        and ends at 0, before it did as this does.

        Args:
            batch: Counted from 0 over all epochs.
        """
        config = self.config
        if config.schedule == "cosine":
            return cosine_lr(batch // self._batches, config.epochs, config.lr, config.min_lr)
        progress = batch / (config.epochs * self._batches)
        return config.lr + (config.min_lr - config.lr) * progress

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Train on one batch; return its loss and logits.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
        """
        set_lr(self.optimizer, self.rate(self._batch))
        self._batch += 1
        self._path = self.path(self.space.sample(self._paths))
        return super().step(images, labels)

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and logits of a batch under the random architecture that `step` has drawn for it.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
        """
        with self.runtime.autocast():
            logits = self.network(self.runtime.prepare_images(images), self._path).logits
        smoothing = self.config.label_smoothing
        return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing), logits

    def edit_gradients(self) -> None:
        """Keep decay and momentum from moving weights that had no part in the batch."""
        if self.mixes:
            self._forget_unused()

    def path(self, arch: Arch) -> OptionWeights:
        """Return option weights under which only ``arch`` runs."""
        single = {c.name for c in self.space.choices if c.k == 1 and arch[c.name]}
        mixing = [c for c in self.space.choices if c.name not in single]
        vectors = one_hot(mixing, arch, device=self.ctx.runtime.device)
        return {
            c.name: c.options.index(arch[c.name][0]) if c.name in single else vectors[c.name]
            for c in self.space.choices
        }

    def _forget_unused(self) -> None:
        used = [p for p in self.parameters if p.grad is not None]
        largest = torch.stack([p.grad.abs().amax().float() for p in used if p.grad is not None]).tolist()
        for parameter, size in zip(used, largest, strict=True):
            if size == 0.0:
                parameter.grad = None


class SupernetRehearsal:
    """Does single units of the training, on a supernet that is thrown away.

    Args:
        config: How to train.
        ctx: Data and device.
        space: The space.
    """

    def __init__(self, config: SupernetConfig, ctx: Context, space: NetworkSpace[Any]) -> None:
        self._config, self._ctx, self._space = config, ctx, space

    def train_batch(self) -> None:
        """Train on the next batch."""
        images, labels = next(self._batches)
        self._scores.add(*self._training.step(images, labels), labels)

    def save(self) -> None:
        """Save a checkpoint."""
        self._ctx.slot("forecast").save(self._training.state_dict())

    @cached_property
    def _training(self) -> SupernetTraining:
        training = SupernetTraining(self._config, self._ctx, self._space)
        training.begin_epoch(0)
        return training

    @cached_property
    def _scores(self) -> RunningScores:
        return RunningScores("forecast")

    @cached_property
    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._read()

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        assert self._ctx.data is not None, "the recipe check requires a [data] table"
        while True:
            yield from self._ctx.data.batches("weights", batch_size=self._config.batch_size)
