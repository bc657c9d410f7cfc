"""Bugs planted in what sound searchers and evaluators say of their work: the kit finds each."""

import math

import pytest

from nasforge.component import Work
from nasforge.config import PluginConfig
from nasforge.evaluator import Effort, Evaluation, Evaluator
from nasforge.searcher import AskTellSearcher, Searcher
from nasforge.space import NetworkSpace
from support.planting import assert_caught, find, plugin_of

IMAGES = {"needs": frozenset({"data", NetworkSpace})}
BLACK_BOX = {"needs": frozenset({"space", "evaluator"})}
STEPS = 4


class Reads(Searcher[PluginConfig]):
    """Reads a pass of images per step, and learns nothing."""

    def setup(self, ctx):
        super().setup(ctx)
        self.epoch = 0

    @property
    def done(self):
        return self.epoch >= STEPS

    def step(self):
        self.epoch += 1
        return {"images": float(sum(len(y) for _, y in self.ctx.data.batches("weights", epoch=self.epoch)))}

    def best(self):
        return self.ctx.space.discretize({})

    def workload(self):
        batches = (b for epoch in range(99) for b in self.ctx.data.batches("weights", epoch=epoch))
        return [Work("batches", self.units(), lambda: next(batches))]

    def units(self):
        return (STEPS - self.epoch) * self.ctx.data.num_batches("weights")

    def state_dict(self):
        return {"epoch": self.epoch}

    def load_state_dict(self, state):
        self.epoch = state["epoch"]


class CountsEpochs(Reads):
    def units(self):
        return STEPS - self.epoch


class CountsAllAgain(Reads):
    def units(self):
        return STEPS * self.ctx.data.num_batches("weights")


class CountsToInfinity(Reads):
    def units(self):
        return math.inf


class NamesTuples(Reads):
    def workload(self):
        return [("batches", self.units())]


class Random(AskTellSearcher[PluginConfig]):
    evaluations = 5

    def ask(self):
        return self.ctx.space.sample(self.rng)


class PlansTwice(Random):
    def planned(self):
        return {Effort(): 2.0 * (self.evaluations - len(self.history))}


class Scores(Evaluator[PluginConfig]):
    """Reads all images of a split, three times over."""

    epochs = 3

    def split(self):
        return "weights" if self.ctx.stage == "search" else "full"

    def evaluate(self, arch, *, budget=None):
        total = 0.0
        for epoch in range(budget or self.epochs):
            total += sum(float(x.mean()) for x, _ in self.ctx.data.batches(self.split(), epoch=epoch))
        return Evaluation(arch, total, 1.0)

    def test(self, arch):
        images = self.ctx.data.batches("test", augment=False)
        return {"brightness": sum(float(x.mean()) for x, _ in images)}

    def workload(self, arch, effort):
        batches = (b for epoch in range(99) for b in self.ctx.data.batches(self.split(), epoch=epoch))
        units = (effort.budget or self.epochs) * self.ctx.data.num_batches(self.counted())
        return [Work("batches", units, lambda: next(batches))]

    def counted(self):
        return self.split()

    def test_workload(self, arch):
        return [Work("test batches", 2, lambda: next(iter(self.ctx.data.batches("full"))))]


class CountsTheSearchAlone(Scores):
    def counted(self):
        return "weights"


class TimesTestImages(Scores):
    def test_workload(self, arch):
        return [Work("test batches", 2, lambda: next(iter(self.ctx.data.batches("test"))))]


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        ("searcher", CountsEpochs, "read 4 batches, but the search reads 8"),
        ("searcher", CountsAllAgain, "names 8 batches when the search has ended"),
        ("searcher", CountsToInfinity, "'batches' has inf units"),
        ("searcher", NamesTuples, "it is a list of nasforge.component.Work"),
        ("searcher", PlansTwice, "planned() names 10 evaluations, and the search makes 5"),
        ("evaluator", CountsTheSearchAlone, "read 6 batches, but an evaluation in stage 'train' reads 15"),
        ("evaluator", TimesTestImages, "'test'"),
    ],
)
def test_wrong_work_is_caught(kind, target, words):
    about = BLACK_BOX if issubclass(target, AskTellSearcher) else IMAGES
    rule = "searches_are_forecast" if kind == "searcher" else "evaluations_are_forecast"
    assert_caught(plugin_of(kind, target, **about), rule, words)


@pytest.mark.parametrize(
    ("kind", "target"), [("searcher", Reads), ("searcher", Random), ("evaluator", Scores)]
)
def test_true_work_passes(kind, target):
    about = BLACK_BOX if issubclass(target, AskTellSearcher) else IMAGES
    rule = "searches_are_forecast" if kind == "searcher" else "evaluations_are_forecast"
    find(plugin_of(kind, target, **about), rule)()
