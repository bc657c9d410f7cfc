"""Bugs planted in a sound evaluator: the kit finds each, and says what it is."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from nasforge.config import EvaluatorConfig, PluginConfig
from nasforge.evaluator import Evaluation, Evaluator, RepeatedTraining
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace
from nasforge.training.loops import accuracy
from support.planting import assert_caught, assert_sound, find, plugin_of

ABOUT = {"needs": frozenset({"data", NetworkSpace})}


class Trains(Evaluator[PluginConfig]):
    """Trains a network for some epochs, with momentum, and goes on from its slot after a kill."""

    epochs = 3
    kept = ("network", "optimizer")

    def start(self, arch):
        torch.manual_seed(derive_seed(self.ctx.seed, "start", arch.key))
        network = self.ctx.space.build(self.ctx.data.task, arch)
        return network, torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)

    def resume(self, slot):
        return slot.load()

    def length(self, budget):
        return budget or self.epochs

    def splits(self):
        return ("full", "weights") if self.ctx.stage == "train" else ("weights", "arch")

    def evaluate(self, arch, *, budget=None):
        network, optimizer = self.start(arch)
        slot, epoch = self.ctx.slot(arch.key), 0
        parts = {"network": network, "optimizer": optimizer}
        if (state := self.resume(slot)) is not None:
            epoch = state["epoch"]
            for name in self.kept:
                parts[name].load_state_dict(state[name])
        train, score = self.splits()
        while epoch < self.length(budget):
            for images, labels in self.ctx.data.batches(train, epoch=epoch):
                optimizer.zero_grad()
                cross_entropy(network(images).logits, labels).backward()
                optimizer.step()
            epoch += 1
            slot.save({"epoch": epoch, **{name: parts[name].state_dict() for name in self.kept}})
        loss, images = 0.0, 0
        network.eval()
        with torch.no_grad():
            for x, y in self.ctx.data.batches(score, augment=False):
                loss += cross_entropy(network(x).logits, y, reduction="sum").item()
                images += len(y)
        return Evaluation(arch, -loss / images, 1.0, {"loss": loss / images})

    def test(self, arch):
        network, _ = self.start(arch)
        network.load_state_dict(self.ctx.slot(arch.key).load()["network"])
        return {"accuracy": accuracy(network, self.ctx.data.batches("test", augment=False), self.ctx.runtime)}


class StartsAnywhere(Trains):
    """The start of the second network depends on the first."""

    def start(self, arch):
        network = self.ctx.space.build(self.ctx.data.task, arch)
        return network, torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)


class SeedsByClock(Trains):
    def start(self, arch):
        torch.seed()
        network = self.ctx.space.build(self.ctx.data.task, arch)
        return network, torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)


class IgnoresBudget(Trains):
    def length(self, budget):
        return self.epochs


class NeverLoads(Trains):
    def resume(self, slot):
        return None


class ForgetsMomentum(Trains):
    kept = ("network",)


class ForgetsWeights(Trains):
    kept = ("optimizer",)


class ScoresOnTest(Trains):
    def splits(self):
        return ("weights", "test")


class TrainsOnTestAtTheEnd(Trains):
    def splits(self):
        return ("full", "test") if self.ctx.stage == "train" else super().splits()


class MeasuresOnTraining(Trains):
    def test(self, arch):
        network, _ = self.start(arch)
        return {"accuracy": accuracy(network, self.ctx.data.batches("arch"), self.ctx.runtime)}


class MeasuresNothing(Trains):
    def test(self, arch):
        return {}


class ScoreIsNan(Trains):
    def evaluate(self, arch, *, budget=None):
        return replace(super().evaluate(arch, budget=budget), score=math.nan)


class TensorMetrics(Trains):
    def evaluate(self, arch, *, budget=None):
        result = super().evaluate(arch, budget=budget)
        return replace(result, metrics={"loss": torch.tensor(result.metrics["loss"])})


class OtherArch(Trains):
    def evaluate(self, arch, *, budget=None):
        result = super().evaluate(arch, budget=budget)
        return replace(result, arch=self.ctx.space.discretize({}))


class NegativeCost(Trains):
    def evaluate(self, arch, *, budget=None):
        return replace(super().evaluate(arch, budget=budget), cost=-1.0)


class ReturnsScore(Trains):
    def evaluate(self, arch, *, budget=None):
        return super().evaluate(arch, budget=budget).score


class LosesItsState(Trains):
    count = 0

    def evaluate(self, arch, *, budget=None):
        self.count += 1
        return super().evaluate(arch, budget=budget)

    def state_dict(self):
        return {"count": self.count}


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (StartsAnywhere, "seed_decides_the_score", "after two others"),
        (SeedsByClock, "seed_decides_the_score", "two evaluations with the same seed"),
        (IgnoresBudget, "budget_is_respected", "has no effect"),
        (NeverLoads, "killed_evaluations_resume", "does not load it"),
        (ForgetsMomentum, "killed_evaluations_resume", "killed after save 1"),
        (ForgetsWeights, "killed_evaluations_resume", "killed after save 1"),
        (ScoresOnTest, "evaluating_reads_no_test_images", "'test'"),
        (TrainsOnTestAtTheEnd, "evaluating_reads_no_test_images", "train stage"),
        (MeasuresOnTraining, "testing_reads_nothing_else", "'arch'"),
        (MeasuresNothing, "testing_reads_nothing_else", "no metric"),
        (ScoreIsNan, "evaluations_are_complete", "nan"),
        (TensorMetrics, "evaluations_are_complete", "'loss'"),
        (OtherArch, "evaluations_are_complete", "another architecture"),
        (NegativeCost, "evaluations_are_complete", "-1.0"),
        (ReturnsScore, "evaluations_are_complete", "float, not Evaluation"),
        (LosesItsState, "state_is_restored", "/count"),
    ],
)
def test_evaluators(target, name, words):
    assert_caught(plugin_of("evaluator", target, **ABOUT), name, words)


def test_the_evaluator_without_bugs_is_sound():
    assert_sound(plugin_of("evaluator", Trains, **ABOUT))


class Announces(EvaluatorConfig):
    """Says what `Trains` reports."""

    def reports(self):
        return frozenset({"loss"})


class AnnouncesMore(Announces):
    def reports(self):
        return frozenset({"loss", "accuracy"})


class AnnouncesNothing(Announces):
    def reports(self):
        return frozenset()


class NamesTheSplit(Trains):
    """Names its metric after the split that it scores on, like the ``train`` evaluator."""

    def evaluate(self, arch, *, budget=None):
        split = "select" if self.ctx.data.sizes()["select"] else "arch"
        return Evaluation(arch, 1.0, 1.0, {f"{split}_loss": 0.5})


class AnnouncesBothSplits(Announces):
    def reports(self):
        return frozenset({"arch_loss", "select_loss"})


class AnnouncesAllSplits(Announces):
    def reports(self):
        return frozenset({"arch_loss", "select_loss", "weights_loss"})


@pytest.mark.parametrize(
    ("target", "config", "words"),
    [
        (Trains, AnnouncesMore, "reports() names 'accuracy', which no evaluation has"),
        (Trains, AnnouncesNothing, "an evaluation has 'loss', which reports() does not name"),
        (NamesTheSplit, AnnouncesAllSplits, "reports() names 'weights_loss', which"),
        (NamesTheSplit, Announces, "reports() names 'loss', which"),
    ],
)
def test_what_options_say_of_the_metrics(target, config, words):
    plugin = plugin_of("evaluator", target, config=config, **ABOUT)
    assert_caught(plugin, "metrics_are_those_announced", words)


@pytest.mark.parametrize(
    ("target", "config"),
    [(Trains, Announces), (Trains, EvaluatorConfig), (NamesTheSplit, AnnouncesBothSplits)],
)
def test_options_that_say_the_truth_are_sound(target, config):
    find(plugin_of("evaluator", target, config=config, **ABOUT), "metrics_are_those_announced")()


class Repeats(Trains):
    """Evaluates again with other weights, in a slot of its own."""

    index = 0

    def start(self, arch):
        torch.manual_seed(derive_seed(self.ctx.seed, "start", arch.key, self.index))
        network = self.ctx.space.build(self.ctx.data.task, arch)
        return network, torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)

    def repeat(self, arch, index, *, budget=None):
        own = copy.copy(self)
        own.index = index
        own.ctx = replace(self.ctx, slot=lambda name: self.ctx.slot(f"{name}-{index}" if index else name))
        return own.evaluate(arch, budget=budget)


class SharesItsSlot(Repeats):
    def repeat(self, arch, index, *, budget=None):
        own = copy.copy(self)
        own.index = index
        return own.evaluate(arch, budget=budget)


class RepeatsNothing(Repeats):
    def repeat(self, arch, index, *, budget=None):
        return self.evaluate(arch, budget=budget)


class CountsFromOne(Repeats):
    def repeat(self, arch, index, *, budget=None):
        return super().repeat(arch, index + 1, budget=budget)


REPEATED = {**ABOUT, "provides": frozenset({RepeatedTraining})}


def test_sound_repetitions_pass():
    find(plugin_of("evaluator", Repeats, **REPEATED), "repetitions_are_draws_of_their_own")()


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        (SharesItsSlot, "give it a slot of its own"),
        (RepeatsNothing, "would find no noise at all"),
        (CountsFromOne, "They are the same thing"),
    ],
)
def test_wrong_repetitions_are_caught(bug, words):
    assert_caught(plugin_of("evaluator", bug, **REPEATED), "repetitions_are_draws_of_their_own", words)
