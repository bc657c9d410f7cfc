"""Bugs planted in sound searchers: the kit finds each, and says what it is."""

import random
from random import Random

import pytest
import torch
from torch.nn.functional import cross_entropy

from nasforge.config import PluginConfig
from nasforge.evaluator import Evaluation
from nasforge.nn import ArchParameters
from nasforge.searcher import AskTellSearcher, Searcher
from nasforge.space import NetworkSpace
from support.planting import assert_caught, assert_sound, plugin_of

GRADIENT = {"needs": frozenset({"data", NetworkSpace})}
BLACK_BOX = {"needs": frozenset({"space", "evaluator"})}
STEPS = 4


class Gradient(Searcher[PluginConfig]):
    """Trains a supernet and its option weights, with a slow average that starts after a warm-up."""

    parts = ("alpha", "net", "weight_optimizer", "arch_optimizer")
    splits = ("weights", "arch")

    def setup(self, ctx):
        super().setup(ctx)
        self.alpha = ArchParameters(ctx.space.choices)
        self.net = ctx.space.build(ctx.data.task, scale="search")
        self.weight_optimizer = torch.optim.SGD(self.net.parameters(), 0.1, momentum=0.9)
        self.arch_optimizer = torch.optim.Adam(self.alpha.parameters(), 0.1)
        self.average = {n: w.detach().clone() for n, w in self.alpha.weights().items()}
        self.epoch = 0

    @property
    def done(self):
        return self.epoch >= STEPS

    @property
    def total_steps(self):
        return STEPS

    def best(self):
        return self.ctx.space.discretize({n: w.tolist() for n, w in self.average.items()})

    def option_weights(self):
        return self.alpha.as_lists()

    def step(self):
        split = self.splits[self.epoch % 2]
        optimizer = self.arch_optimizer if self.epoch % 2 else self.weight_optimizer
        for images, labels in self.ctx.data.batches(split, epoch=self.epoch):
            optimizer.zero_grad()
            noise = torch.rand(1)  # from torch's global generator, which the engine checkpoints
            loss = cross_entropy(self.net(images, self.alpha.weights()).logits * (1 + 0.1 * noise), labels)
            loss.backward()
            optimizer.step()
        if self.epoch >= 1:
            for name, weights in self.alpha.weights().items():
                self.average[name].lerp_(weights.detach(), 0.5)
        self.epoch += 1
        return {"loss": loss.item()}

    def state_dict(self):
        state = {name: getattr(self, name).state_dict() for name in self.parts}
        return {**state, "average": self.average, "epoch": self.epoch}

    def load_state_dict(self, state):
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])
        self.average = {name: w.clone() for name, w in state["average"].items()}
        self.epoch = state["epoch"]


class ForgetsArchOptimizer(Gradient):
    parts = ("alpha", "net", "weight_optimizer")


class ForgetsMomentum(Gradient):
    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.weight_optimizer = torch.optim.SGD(self.net.parameters(), 0.1, momentum=0.9)


class ForgetsAverage(Gradient):
    """What warm-up does not touch: found only by stopping after it."""

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.average = {n: w.detach().clone() for n, w in self.alpha.weights().items()}


class ForgetsEpoch(Gradient):
    def load_state_dict(self, state):
        super().load_state_dict({**state, "epoch": 0})


class OwnGenerator(Gradient):
    """A generator of its own, seeded well, but not in the state."""

    def setup(self, ctx):
        super().setup(ctx)
        self.rng = Random(ctx.seed)

    def step(self):
        self.arch_optimizer.param_groups[0]["lr"] = 0.1 * self.rng.random()
        return super().step()


class SavesObjects(Gradient):
    def state_dict(self):
        return {**super().state_dict(), "seen": {self.epoch}}


class ReadsTest(Gradient):
    splits = ("weights", "test")


class TrainsOnEverything(Gradient):
    splits = ("full", "arch")


class ReadsNothing(Gradient):
    def step(self):
        self.epoch += 1
        return {}


class NothingAtFirst(Gradient):
    def best(self):
        return super().best() if self.epoch > 1 else None


class EmptyFront(Gradient):
    def front(self):
        return ()


class ReturnsTensors(Gradient):
    def step(self):
        return {"loss": torch.tensor(super().step()["loss"])}


class ReturnsNan(Gradient):
    def step(self):
        return {**super().step(), "gap": float("nan")}


class OneStepMore(Gradient):
    @property
    def total_steps(self):
        return STEPS - 1


class Endless(Gradient):
    @property
    def done(self):
        return False

    @property
    def total_steps(self):
        return None

    def step(self):
        self.epoch += 1
        return {}


class NothingToDo(Gradient):
    @property
    def done(self):
        return True


class TimeSeeded(Gradient):
    def setup(self, ctx):
        super().setup(ctx)
        self.average = {n: w + 0.01 * random.random() for n, w in self.average.items()}


class WeighsAnUnknownChoice(Gradient):
    def option_weights(self):
        return {"nowhere": [1.0]}


class WeighsTooFew(Gradient):
    def option_weights(self):
        return {name: values[:1] for name, values in super().option_weights().items()}


class WeighsNothing(Gradient):
    def option_weights(self):
        return {name: [float("nan")] * len(values) for name, values in super().option_weights().items()}


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (ForgetsArchOptimizer, "resuming_equals_not_stopping", "/searcher/a"),
        (ForgetsMomentum, "resuming_equals_not_stopping", "/searcher/weight_optimizer"),
        (ForgetsAverage, "resuming_equals_not_stopping", "/searcher/average/"),
        (ForgetsEpoch, "resuming_equals_not_stopping", "/searcher/epoch"),
        (OwnGenerator, "resuming_equals_not_stopping", "stopping after step 1"),
        (SavesObjects, "resuming_equals_not_stopping", "/searcher/seen is a set"),
        (ReadsTest, "searching_reads_no_test_images", "'test'"),
        (TrainsOnEverything, "searching_reads_no_test_images", "'full'"),
        (ReadsNothing, "searching_reads_no_test_images", "reads no image"),
        (NothingAtFirst, "best_is_valid_after_every_step", "None"),
        (EmptyFront, "best_is_valid_after_every_step", "front() is empty"),
        (ReturnsTensors, "metrics_are_numbers", "'loss'"),
        (ReturnsNan, "metrics_are_numbers", "nan"),
        (WeighsAnUnknownChoice, "option_weights_fit_the_choices", "'nowhere', which is not a choice"),
        (WeighsTooFew, "option_weights_fit_the_choices", "a finite number for each of"),
        (WeighsNothing, "option_weights_fit_the_choices", "nan"),
        (OneStepMore, "search_ends", "total_steps said 3"),
        (Endless, "search_ends", "still false after 500 steps"),
        (NothingToDo, "search_ends", "before the first step"),
        (TimeSeeded, "seed_decides_everything", "/searcher/average/"),
    ],
)
def test_gradient_searchers(target, name, words):
    assert_caught(plugin_of("searcher", target, **GRADIENT), name, words)


class BlackBox(AskTellSearcher[PluginConfig]):
    """Draws one half of its proposals, and mutates the best for the other."""

    evaluations = 6

    def ask(self):
        space = self.ctx.space
        if len(self.history) % 2:
            return space.mutate(self.best(), self.rng)
        return space.sample(self.rng)


class LastWins(BlackBox):
    def best(self):
        return self.history[-1].arch


class DrawsInTell(BlackBox):
    """`tell` is replayed when resuming, so it must not draw from what `ask` draws from."""

    skip = 0

    def tell(self, result):
        self.skip = self.rng.randrange(3)

    def ask(self):
        for _ in range(self.skip):
            self.rng.random()
        return super().ask()


class DrawsInVain(BlackBox):
    """Draws make no difference so early, as those of simulated annealing on scores that are far apart."""

    def tell(self, result):
        self.rng.random()


class GlobalRandom(BlackBox):
    def ask(self):
        return self.ctx.space.sample(Random(random.random()))


class InventsOptions(BlackBox):
    def best(self):
        return Evaluation.from_json(
            {"arch": {"inputs": "in7"}, "score": 0.0, "cost": 0.0, "metrics": {}}
        ).arch


class PopulationOutsideState(BlackBox):
    """Learns in `ask`, which is not replayed."""

    def setup(self, ctx):
        super().setup(ctx)
        self.asked = 0

    def ask(self):
        self.asked += 1
        return super().ask() if self.asked % 3 else self.ctx.space.sample(Random(self.asked))


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (LastWins, "best_is_the_best_seen", "highest score"),
        (DrawsInTell, "resuming_equals_not_stopping", "tell() draws from self.rng"),
        (DrawsInVain, "resuming_equals_not_stopping", "give it a generator of its own"),
        (GlobalRandom, "seed_decides_everything", "/searcher/history"),
        (InventsOptions, "best_is_valid_after_every_step", "in7"),
        (PopulationOutsideState, "resuming_equals_not_stopping", "/searcher/"),
    ],
)
def test_black_box_searchers(target, name, words):
    assert_caught(plugin_of("searcher", target, **BLACK_BOX), name, words)


def test_the_searchers_without_bugs_are_sound():
    assert_sound(plugin_of("searcher", Gradient, **GRADIENT))
    assert_sound(plugin_of("searcher", BlackBox, **BLACK_BOX))
