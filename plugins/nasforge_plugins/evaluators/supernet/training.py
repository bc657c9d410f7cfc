"""Training of a supernet, one random architecture per batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.nn import Network, OptionWeights, one_hot
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace
from nasforge.training.loops import (
    Scores,
    cosine_lr,
    load_optimizer,
    random_state,
    set_lr,
    set_random_state,
    train_epoch,
)
from nasforge_plugins.evaluators.supernet.config import SupernetConfig

__all__ = ["SupernetTraining"]


class SupernetTraining:
    """Single path uniform sampling (Guo et al., "Single path one-shot", ECCV 2020, section 3.2, Eq. 7).

    Build it with the global torch generator seeded. Which architecture a batch trains is a function of seed,
    epoch and batch.

    Args:
        config: How to train.
        ctx: Data and device.
        space: The space.
    """

    def __init__(self, config: SupernetConfig, ctx: Context, space: NetworkSpace[Any]) -> None:
        assert ctx.data is not None
        self.config, self.ctx, self.space, self.data = config, ctx, space, ctx.data
        self.network: Network = ctx.runtime.prepare(space.build(ctx.data.task, scale="search")).train()
        self.parameters = list(self.network.parameters())
        self.optimizer = torch.optim.SGD(
            self.parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
        # A choice of several options runs all of them, weighted by zero or one.
        self.mixes = any(choice.k > 1 for choice in space.choices)

    def run_epoch(self, epoch: int, report: Callable[[Mapping[str, float]], None]) -> Scores:
        """Train for one epoch.

        Args:
            epoch: From 0.
            report: Told of progress about ten times.

        Raises:
            RunError: The loss is infinite or not a number; names epoch and batch.
        """
        config = self.config
        lr = cosine_lr(epoch, config.epochs, config.lr, config.min_lr)
        set_lr(self.optimizer, lr)
        self._paths = Random(derive_seed(self.ctx.seed, "supernet", "paths", epoch))
        total = self.data.num_batches("weights", batch_size=config.batch_size)

        def progress(count: int, scores: Scores) -> None:
            done = (epoch + min(count / total, 1.0)) / config.epochs
            report({"prepared": done, "epoch": epoch + 1, **scores._asdict(), "lr": lr})

        batches = self.data.batches("weights", epoch=epoch, batch_size=config.batch_size)
        where = f"supernet, epoch {epoch + 1}"
        return train_epoch(batches, self.step, where, every=max(1, total // 10), progress=progress)

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Train a random architecture on one batch; return its loss and logits.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
        """
        runtime, config = self.ctx.runtime, self.config
        weights = self.path(self.space.sample(self._paths))
        self.optimizer.zero_grad()
        with runtime.autocast():
            logits = self.network(runtime.prepare_images(images), weights).logits
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=config.label_smoothing)
        loss.backward()
        if self.mixes:
            self._forget_unused()
        if config.clip:
            nn.utils.clip_grad_norm_(self.parameters, config.clip)
        self.optimizer.step()
        return loss, logits

    def path(self, arch: Arch) -> OptionWeights:
        """Return option weights under which only ``arch`` runs."""
        vectors = one_hot(self.space.choices, arch, device=self.ctx.runtime.device)
        return {
            c.name: c.options.index(arch[c.name][0]) if c.k == 1 else vectors[c.name]
            for c in self.space.choices
        }

    def _forget_unused(self) -> None:
        """Keep decay and momentum from moving weights that had no part in the batch."""
        used = [p for p in self.parameters if p.grad is not None]
        largest = torch.stack([p.grad.abs().amax().float() for p in used if p.grad is not None]).tolist()
        for parameter, size in zip(used, largest, strict=True):
            if size == 0.0:
                parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next epochs depend on, the global generators included."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": random_state(self.ctx.runtime.device),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        set_random_state(self.ctx.runtime.device, state["random"])
