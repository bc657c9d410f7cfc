"""The main loop of the published CDARTS code, written from its rules on plain tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

Batch = tuple[Tensor, Tensor]
TEMPERATURE = 2.0


def embed(x: Tensor, heads: Mapping[str, Tensor], depth: int, window: int) -> Tensor:
    """Return the logits of a head, which pools over ``window`` pixels; 0 pools nothing."""
    name, x = f"student_heads.{depth}", x.relu()
    x = F.avg_pool2d(x, window, 2) if window else x
    for layer in (2, 5):
        x = F.conv2d(x, heads[f"{name}.layers.{layer}.weight"])
        x = F.batch_norm(x, None, None, training=True).relu()
    weight, bias = heads[f"{name}.classifier.weight"], heads[f"{name}.classifier.bias"]
    return F.linear(x.mean((2, 3)), weight, bias)


def clip(gradients: Sequence[Tensor], limit: float) -> float:
    """Scale gradients to a joint norm of ``limit`` at most; return the norm they had."""
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if (factor := limit / (norm + 1e-6)) < 1:
        for gradient in gradients:
            gradient.mul_(factor)
    return norm


@dataclass
class Rules:
    """The flags of the published search that the tests change."""

    cycles: int
    warmup: int
    lr: float
    arch_lr: float
    coefficient: float = 5.0
    ratio: float = 0.667
    sample_ratio: float = 1.0
    windows: tuple[int, int] = (6, 2)
    freeze_heads: bool = False
    search_cells: Sequence[int] = ()
    eval_cells: Sequence[int] = ()


@dataclass
class Published:
    """One controller: two networks, the bank, heads, ensemble, architecture parameters.

    Args:
        cells: The rules of the space.
        rules: The flags.
        stem: Shared by both networks.
        search: The search network without the stem.
        bank: Weights of all operations at evaluation depth, without the classifier.
        classifier: That of the evaluation network.
        heads: Heads and ensemble.
        alpha: Architecture parameters.
    """

    cells: Any
    rules: Rules
    stem: dict[str, Tensor]
    search: dict[str, Tensor]
    bank: dict[str, Tensor]
    classifier: dict[str, Tensor]
    heads: dict[str, Tensor]
    alpha: dict[str, Tensor]
    evaluation: dict[str, Tensor] = field(default_factory=dict)
    norms: list[float] = field(default_factory=list)
    derived: Any = None

    def __post_init__(self) -> None:
        for tensors in (self.stem, self.search, self.classifier, self.heads, self.alpha):
            for tensor in tensors.values():
                tensor.requires_grad_(True)
        for name, tensor in self.heads.items():
            tensor.requires_grad_(name == "ensemble" or not self.rules.freeze_heads)
        self.derived = self.cells.derive(self.alpha)
        self.search_sgd = self._sgd(self.stem, self.search, self.heads)

    def cycle(self, index: int, passes: Iterable[list[Batch]], fresh: Mapping[str, Tensor] | None) -> None:
        """Run one cycle.

        Args:
            index: Its number, from 0.
            passes: What the loaders return, pass by pass.
            fresh: The random weights that a new evaluation network starts with; None in the warm-up.
        """
        passes = iter(passes)
        if index < self.rules.warmup:
            for images, labels in self._part(next(passes)):
                self._learn(images, labels, self.search_sgd, "search")
            return
        assert fresh is not None
        self.evaluation = {n: t.clone().requires_grad_(True) for n, t in fresh.items()}
        for tensor in self._everything():
            tensor.grad = None  # the controller is copied, and copies have no gradients
        self._copy(self.bank, self.evaluation)
        self.search_sgd = self._sgd(self.stem, self.search, self.heads)
        eval_sgd = self._sgd(self.stem, self.evaluation, self.heads, self.classifier)
        adam = Adam(self.alpha.values(), self.rules.arch_lr, betas=(0.5, 0.999))
        for images, labels in self._part(next(passes)):
            self._learn(images, labels, eval_sgd, "evaluation")
        train, valid = next(passes), next(passes)
        for (images, labels), pair in zip(train[: self._count(train)], valid, strict=False):
            self._learn_jointly(*pair, eval_sgd, adam, index)
            self._learn(images, labels, self.search_sgd, "search")
        self._copy(self.evaluation, self.bank)
        self.derived = self.cells.derive(self.alpha)
        self.trained = dict(self.evaluation)

    def _learn_jointly(
        self, images: Tensor, labels: Tensor, sgd: Optimizer, adam: Optimizer, epoch: int
    ) -> None:
        rules = self.rules
        adam.zero_grad(set_to_none=False)
        sgd.zero_grad(set_to_none=False)
        (own, mine), (other, theirs) = self._predict(images, "search"), self._predict(images, "evaluation")
        faded = (epoch - rules.warmup) / ((rules.cycles - rules.warmup) * rules.ratio)
        strength = max(rules.coefficient * (1 - faded), 0)
        loss = F.cross_entropy(own, labels) + F.cross_entropy(other, labels)
        loss = loss + TEMPERATURE**2 * F.smooth_l1_loss(mine, theirs)
        loss = loss + strength * self.cells.penalty(self.alpha)
        loss.backward()
        self._clip()
        sgd.step()
        adam.step()

    def _learn(self, images: Tensor, labels: Tensor, sgd: Optimizer, which: str) -> None:
        sgd.zero_grad(set_to_none=False)
        F.cross_entropy(self._predict(images, which)[0], labels).backward()
        self._clip()
        sgd.step()

    def _predict(self, images: Tensor, which: str) -> tuple[Tensor, Tensor]:
        """Return logits, and the weighted logits of three depths, one below the other."""
        cells, rules = self.cells, self.rules
        stem = cells.stem(images, self.stem)
        if which == "search":
            weights, last = self.search, self.search
            maps = cells.run(stem, weights, cells.relax(self.alpha), rules.search_cells)
        else:
            weights, last = self.evaluation, self.classifier
            maps = cells.run(stem, weights, cells.discrete(self.derived), rules.eval_cells)
        logits = F.linear(maps.third.mean((2, 3)), last["classifier.weight"], last["classifier.bias"])
        depths = [self._embed(maps.first, 0), self._embed(maps.second, 1), logits]
        shares = self.heads["ensemble"].softmax(0)
        return logits, torch.cat([share * depth for share, depth in zip(shares, depths, strict=True)])

    def _embed(self, x: Tensor, depth: int) -> Tensor:
        return embed(x, self.heads, depth, self.rules.windows[depth])

    def _clip(self) -> None:
        found = [t.grad for t in self._everything() if t.grad is not None]
        self.norms.append(clip(found, 5.0))

    def _copy(self, source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name in source.keys() & target.keys():
                if self.cells.is_copied(name, self.derived):
                    target[name].copy_(source[name])

    def _sgd(self, *groups: Mapping[str, Tensor]) -> SGD:
        tensors = [tensor for group in groups for tensor in group.values()]
        return SGD(tensors, self.rules.lr, momentum=0.9, weight_decay=3e-4)

    def _everything(self) -> list[Tensor]:
        groups = (self.stem, self.search, self.evaluation, self.classifier, self.heads, self.alpha)
        return [tensor for group in groups for tensor in group.values()]

    def _count(self, batches: Sequence[Batch]) -> int:
        return int(len(batches) * self.rules.sample_ratio) + 1

    def _part(self, batches: list[Batch]) -> list[Batch]:
        return batches[: self._count(batches)]
