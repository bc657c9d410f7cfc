"""Pretraining of CDARTS's bank against an independent writing of the published one."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD

from nasforge.seeding import derive_seed
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.cdarts_pair import doubles
from support.published_cdarts import clip, embed
from support.published_cells import DartsCells
from support.twin_world import TinyData, make_context

TOLERANCE = 1e-11
"""Largest difference between two weights after two epochs in float64."""

SIZES = {"search_channels": 4, "search_cells": 3, "eval_channels": 4, "eval_cells": 4, "stem_multiplier": 1}
EPOCHS = 2


@pytest.fixture(autouse=True)
def _doubles(monkeypatch):
    with doubles(monkeypatch):
        yield


def make(preset: str = "official", **options) -> Cdarts:
    torch.manual_seed(derive_seed(0, "test"))
    pretrain = {"epochs": EPOCHS, **options}
    searcher = Cdarts(CdartsConfig(preset=preset, iterations=2, warmup_epochs=0, pretrain=pretrain))
    space = DartsSpace(DartsConfig(**SIZES))
    distiller = StagesDistiller(StagesConfig(freeze_heads=True))
    searcher.setup(make_context(distiller, TinyData(), space=space))
    return searcher


class PublishedPretraining:
    """``pretrain.py``: the bank above the common stem, below the search network's classifier."""

    def __init__(self, searcher: Cdarts) -> None:
        bank = {n: p.detach().clone() for n, p in searcher.twin.bank.named_parameters()}
        last = {n: p.detach().clone() for n, p in searcher.search_net.classifier.named_parameters()}
        self.weights = {**bank, **{f"classifier.{n}": p for n, p in last.items()}}
        self.heads = {n: p.detach() for n, p in searcher.twin.distiller.named_parameters()}
        for tensor in self.weights.values():
            tensor.requires_grad_(True)
        self.sgd = SGD(self.weights.values(), 0.025, momentum=0.9, weight_decay=5e-4)
        self.cells = DartsCells()
        self.uniform = self.cells.relax({name: torch.zeros(8) for name in self.cells.choices()})

    def epoch(self, number: int, batches, picks) -> None:
        """Train on all batches, each with the next ``picks``; None takes all operations alike."""
        for group in self.sgd.param_groups:
            group["lr"] = 0.025 * (1 + math.cos(math.pi * number / EPOCHS)) / 2
        for (images, labels), drawn in zip(batches, picks, strict=True):
            self.sgd.zero_grad(set_to_none=True)
            losses = [self.loss(images, labels, self.uniform if p is None else p) for p in drawn]
            sum(losses).backward()
            clip([t.grad for t in self.weights.values() if t.grad is not None], 5.0)
            self.sgd.step()

    def loss(self, images: Tensor, labels: Tensor, pick) -> Tensor:
        stem = self.cells.stem(images, self.weights)
        maps = self.cells.run(stem, self.weights, pick, (2, 1, 1))
        weight, bias = self.weights["classifier.weight"], self.weights["classifier.bias"]
        logits = F.linear(maps.third.mean((2, 3)), weight, bias)
        second = embed(maps.second, self.heads, 1, 0)
        return sum(factor * self.smooth(found, labels) for factor, found in ((1.0, logits), (0.4, second)))  # type: ignore

    @staticmethod
    def smooth(logits: Tensor, labels: Tensor) -> Tensor:
        classes = logits.shape[1]
        target = 0.9 * F.one_hot(labels, classes) + 0.1 / classes
        return -(target * logits.log_softmax(1)).sum(1).mean()


def as_pick(arch):
    """A kept edge has the operation alone; its node still divides by the number of all inputs."""

    def pick(kind: str, node: int, stage: int) -> list:
        share = 1 / len(DartsCells.sources(node))
        chosen = arch[f"{kind}/node{node}/inputs"]
        return [(s, share, [(None, arch[f"{kind}/node{node}/{s}"][0])]) for s in chosen]

    return pick


@pytest.mark.parametrize("architectures", ["uniform", "sampled"])
def test_the_bank_learns_as_published(architectures, monkeypatch):
    searcher = make(architectures=architectures, samples=2)
    theirs = PublishedPretraining(searcher)
    drawn = []
    original = searcher.space.sample
    monkeypatch.setattr(
        searcher.space, "sample", lambda rng: drawn.append(original(rng)) or drawn[-1], raising=False
    )
    for epoch in range(EPOCHS):
        splits = [list(searcher.data.batches(split, epoch=epoch)) for split in ("weights", "arch")]
        assert [len(batches) for batches in splits] == [3, 2]
        batches = [splits[i % 2][i // 2] for i in range(5)]
        drawn.clear()
        searcher.step()
        pairs = [[as_pick(a) for a in drawn[i : i + 2]] for i in range(0, len(drawn), 2)]
        theirs.epoch(epoch, batches, pairs or [[None]] * len(batches))
    ours = dict(searcher.twin.bank.named_parameters())
    for name, tensor in theirs.weights.items():
        mine = searcher.search_net.get_parameter(name) if name.startswith("classifier.") else ours[name]
        assert float((mine - tensor).detach().abs().max()) < TOLERANCE, name
    assert torch.equal(searcher.search_net.stem.conv.weight, ours["stem.conv.weight"])


def test_pretrained_cells_learn_at_a_tenth_of_the_rate():
    searcher = make()
    for _ in range(EPOCHS + 1):
        searcher.step()
    rates = {id(p): group["lr"] for group in searcher.twin.optimizer.param_groups for p in group["params"]}
    for name, parameter in searcher.twin.network.named_parameters():
        slow = not name.startswith(("stem.", "classifier."))
        assert rates[id(parameter)] == pytest.approx(0.008 if slow else 0.08), name
    assert rates[id(searcher.twin.distiller.ensemble)] == 0.08


@pytest.mark.parametrize("preset", ["clean", "official"])
def test_the_classifier_that_is_pretrained(preset):
    searcher = make(preset)
    of_search = searcher.search_net.classifier.weight.detach().clone()
    of_bank = searcher.twin.bank.classifier.weight.detach().clone()
    if preset == "official":
        assert searcher.twin.bank.classifier is searcher.search_net.classifier
    for _ in range(EPOCHS):
        searcher.step()
    assert torch.equal(of_search, searcher.search_net.classifier.weight) is (preset == "clean")
    assert searcher.twin.bank.classifier is not searcher.search_net.classifier
    assert searcher.twin.bank.stem is not searcher.search_net.stem
    if preset == "clean":
        assert not torch.equal(of_bank, searcher.twin.bank.classifier.weight)


def test_the_cycles_follow_the_pretraining():
    searcher = make()
    assert searcher.total_steps == EPOCHS + 2
    metrics = []
    while not searcher.done:
        metrics.append(set(searcher.step()))
    assert metrics[:EPOCHS] == [{"pretrain_loss", "pretrain_accuracy"}] * EPOCHS
    assert all("eval_loss" in names for names in metrics[EPOCHS:])
    assert all(p.device.type == "cpu" and p.grad is None for p in searcher.twin.bank.parameters())
