"""Training of a supernet: one random architecture per batch, or a sandwich of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.errors import RunError
from nasforge.nn import Network, OptionWeights, one_hot
from nasforge.seeding import derive_seed, random_from_json, random_to_json
from nasforge.space import NetworkSpace
from nasforge.training.epochs import EpochTraining
from nasforge.training.loops import RunningScores, Scores, cosine_lr, set_lr
from nasforge_plugins.evaluators.supernet.config import SupernetConfig

__all__ = ["SupernetRehearsal", "SupernetTraining"]


class SupernetTraining(EpochTraining):
    """Single path uniform sampling (Guo et al., "Single path one-shot", ECCV 2020, section 3.2, Eq. 7).

    With the option ``sandwich``, a batch trains several architectures of an elastic space (Yu and Huang,
    "Universally slimmable networks", ICCV 2019, Algorithm 1): the largest, some random ones, the smallest.

    Build it with the global torch generator seeded. Which architecture a batch trains is a function of seed,
    epoch and batch.

    Args:
        config: How to train.
        ctx: Data and device.
        space: The space.

    Raises:
        RunError: A sandwich is asked for, and the space has no elastic choices.
    """

    share_name = "prepared"

    def __init__(self, config: SupernetConfig, ctx: Context, space: NetworkSpace[Any]) -> None:
        assert ctx.data is not None
        self.config, self.ctx, self.space = config, ctx, space
        self._elastic = [choice for choice in space.choices if choice.elastic]
        if config.sandwich and not self._elastic:
            raise RunError(
                f"evaluator.sandwich: {type(space).__name__} has no elastic choices, so none of its "
                "architectures is the largest. Set sandwich = 0."
            )
        self.network: Network = ctx.runtime.prepare(space.build(ctx.data.task, scale="search")).train()
        parameters = list(self.network.parameters())
        decaying = [p for p in parameters if p.ndim > 1 or config.decay_norms]
        resting = [p for p in parameters if p.ndim <= 1 and not config.decay_norms]
        groups = [
            {"params": decaying, "weight_decay": config.weight_decay},
            {"params": resting, "weight_decay": 0.0},
        ]
        optimizer: Optimizer = (
            torch.optim.AdamW(groups, config.lr)
            if config.optimizer == "adamw"
            else torch.optim.SGD(groups, config.lr, momentum=config.momentum)
        )
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
        config, epoch = self.config, batch // self._batches
        if config.schedule == "cosine":
            return cosine_lr(epoch, config.epochs, config.lr, config.min_lr, config.warmup_epochs)
        progress = batch / (config.epochs * self._batches)
        rate = config.lr + (config.min_lr - config.lr) * progress
        return rate * min(1.0, (epoch + 1) / config.warmup_epochs) if config.warmup_epochs else rate

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Train on one batch; return its loss and logits.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
        """
        set_lr(self.optimizer, self.rate(self._batch))
        self._batch += 1
        # Before the batch is divided into shards, so that all of them train the same architectures.
        self._drawn = [self.path(arch) for arch in self.draw()]
        return super().step(images, labels)

    def draw(self) -> list[Arch]:
        """Return the architectures of the next batch; a sandwich begins with the largest."""
        if not self.config.sandwich:
            return [self.space.sample(self._paths)]
        between = [self.space.sample(self._paths) for _ in range(self.config.sandwich)]
        return [self._extreme(between[0], -1), *between, self._extreme(between[0], 0)]

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, the sum over its architectures, and the logits of the first one.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
        """
        images = self.runtime.prepare_images(images)
        largest, *others = (self._logits(images, path) for path in self._drawn)
        loss = F.cross_entropy(largest.float(), labels, label_smoothing=self.config.label_smoothing)
        for logits in others:
            target, smoothing = labels, self.config.label_smoothing
            if self.config.distill:
                target, smoothing = largest.detach().float().softmax(1), 0.0
            loss = loss + F.cross_entropy(logits.float(), target, label_smoothing=smoothing)
        return loss, largest

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

    def _logits(self, images: Tensor, path: OptionWeights) -> Tensor:
        with self.runtime.autocast():
            return self.network(images, path).logits

    def _extreme(self, arch: Arch, end: int) -> Arch:
        """Return an architecture with the first (0) or last (-1) option of every elastic choice."""
        for choice in self._elastic:
            arch = arch.with_answer(choice.name, choice.options[end])
        return self.space.canonical(arch)

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
