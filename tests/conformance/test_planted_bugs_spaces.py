"""Bugs planted in a sound space: the kit finds each, and says what it is."""

import itertools
import random

import pytest
from torch import nn

from nasforge.arch import Arch, Choice
from nasforge.nn import ChoiceBlock, FeatureInfo, Network, Output
from nasforge.plugins.capabilities import KnownBaseline
from nasforge.space import KnownCost, NetworkSpace, ReducedNetworks, Task
from nasforge.testing.parts import TinySpace
from support.planting import assert_caught, assert_sound, plugin_of

SUPERNET = {"provides": frozenset({NetworkSpace})}


class SamplesFromAnywhere(TinySpace):
    def sample(self, rng):
        return super().sample(random.Random(random.random()))


class SamplesOne(TinySpace):
    def sample(self, rng):
        return super().sample(random.Random(0))


class StandsStill(TinySpace):
    def mutate(self, arch, rng):
        return arch


class DerivesTheWeakest(TinySpace):
    def discretize(self, weights):
        return super().discretize({name: [-w for w in values] for name, values in weights.items()})


class NeedsEveryWeight(TinySpace):
    def discretize(self, weights):
        assert {c.name for c in self.choices} == set(weights)
        return super().discretize(weights)


class WritesForPeople(TinySpace):
    def notation(self, arch):
        return " ".join("+".join(picked) for picked in arch.values())


class SamplesDuplicates(TinySpace):
    def canonical(self, arch):
        return Arch({**arch, "op/in0": "skip"})

    def sample(self, rng):
        return Arch({**super().sample(rng), "op/in0": "none"})


class CanonicalWanders(TinySpace):
    def canonical(self, arch):
        following = {"conv": "skip", "skip": "none", "none": "conv"}
        return Arch({**arch, "op/in0": following[arch["op/in0"][0]]})


class OneNameTwice(TinySpace):
    @property
    def choices(self):
        return (*super().choices, Choice("op/in0", ("conv", "skip")))


class ChoicesGrow(TinySpace):
    @property
    def choices(self):
        self.calls = getattr(self, "calls", 0) + 1
        return (*super().choices, Choice(f"extra{self.calls // 3}", ("conv", "skip")))


class AcceptsAnything(TinySpace):
    def validate(self, arch):
        pass


class FailsOnNonsense(TinySpace):
    def parse(self, text):
        return super().parse(text) if text.startswith("{") else Arch({text.split()[0]: "x"})


class CountsOneChoice(TinySpace):
    def size(self):
        return 3


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (SamplesFromAnywhere, "randomness_is_its_generator", "rng that is passed in"),
        (SamplesOne, "randomness_is_its_generator", "for every generator"),
        (StandsStill, "mutation_moves_and_stays_inside", "returned its argument"),
        (DerivesTheWeakest, "discretize_inverts_one_hot", "derive what it decided"),
        (NeedsEveryWeight, "discretize_takes_missing_names", "AssertionError"),
        (WritesForPeople, "parse_inverts_notation", "is not an architecture"),
        (SamplesDuplicates, "samples_are_canonical", "sample() returns self.canonical(arch)"),
        (CanonicalWanders, "samples_are_canonical", "canonical() changes"),
        (OneNameTwice, "choices_are_fixed", "op/in0"),
        (ChoicesGrow, "choices_are_fixed", "change between calls"),
        (AcceptsAnything, "invalid_input_is_rejected", "accepts it"),
        (FailsOnNonsense, "invalid_input_is_rejected", "IndexError"),
        (CountsOneChoice, "size_is_a_count", "size() is 3"),
    ],
)
def test_spaces(target, name, words):
    assert_caught(plugin_of("space", target), name, words)


def test_the_space_without_bugs_is_sound():
    assert_sound(plugin_of("space", TinySpace, **SUPERNET))


class Net(Network):
    """Two blocks to choose, between stem and classifier; subclasses of `Blocks` break it in one place."""

    def __init__(self, space, task, arch, scale):
        super().__init__()
        self.space, self.scale = space, scale
        self.stem = nn.Conv2d(task.in_channels, 4, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(ChoiceBlock(c, space.option, arch) for c in space.choices)
        self.classifier = nn.Linear(4, task.num_classes)
        self.feature_info = (FeatureInfo(4, 1),)

    def forward(self, x, weights=None):
        x = self.stem(x)
        for block in self.blocks:
            x = self.space.mix(block, x, weights)
        return Output(self.classifier(x.mean((2, 3))), (x,))


class Blocks(TinySpace):
    @property
    def choices(self):
        return tuple(Choice(f"layer{i}", ("conv", "skip")) for i in range(2))

    def option(self, name):
        return nn.Conv2d(4, 4, 3, padding=1) if name == "conv" else nn.Identity()

    def mix(self, block, x, weights):
        return block(x, weights)

    def build(self, task, arch=None, scale="final"):
        return Net(self, task, arch, scale)


class IgnoresOneChoice(Blocks):
    def mix(self, block, x, weights):
        return block(x, weights if block.choice.name == "layer0" else None)


class AveragesOptions(Blocks):
    def mix(self, block, x, weights):
        return block(x, weights) / len(block.options)


class ScalesByLargest(Blocks):
    def mix(self, block, x, weights):
        y = block(x, weights)
        several = len(block.options) > 1 and weights is not None and len(weights) == 2
        return y * 1.01 if several and self.scale == "eval" else y

    def build(self, task, arch=None, scale="final"):
        self.scale = scale
        return Net(self, task, arch, scale)


class NumbersItsOptions(Blocks):
    def build(self, task, arch=None, scale="final"):
        net = super().build(task, arch, scale)
        if arch is not None:
            net.blocks = nn.ModuleList(nn.Sequential(*block.options.values()) for block in net.blocks)
            net.forward = lambda x, weights=None: Output(x.mean((2, 3)))
        return net


class ShapesDiffer(Blocks):
    def build(self, task, arch=None, scale="final"):
        net = super().build(task, arch, scale)
        if arch is None:
            net.stem = nn.Conv2d(task.in_channels, 4, 5, padding=2, bias=False)
        return net


class NumbersAreFactors(Blocks):
    def mix(self, block, x, weights):
        weight = (weights or {}).get(block.choice.name)
        return block(x) * float(weight) if isinstance(weight, int) else block(x, weights)


class ForgetsWhatIsPicked(Blocks):
    def mix(self, block, x, weights):
        plain = {n: int(w) if isinstance(w, int) else w for n, w in (weights or {}).items()}
        return block(x, plain or None)


class MissingIsOff(Blocks):
    def mix(self, block, x, weights):
        missing = weights is not None and block.choice.name not in weights
        return x * 0.0 if missing else block(x, weights)


class FeatureInfoLies(Blocks):
    def build(self, task, arch=None, scale="final"):
        net = super().build(task, arch, scale)
        net.feature_info = (FeatureInfo(4, 2 if scale == "eval" else 1),)
        return net


class ColourOnly(Blocks):
    def build(self, task, arch=None, scale="final"):
        return super().build(Task(3, task.image_size, task.num_classes), arch, scale)


class TenClasses(Blocks):
    def build(self, task, arch=None, scale="final"):
        return super().build(Task(task.in_channels, task.image_size, 10), arch, scale)


class StartsAnyhow(Blocks):
    def build(self, task, arch=None, scale="final"):
        net = super().build(task, arch, scale)
        net.stem.weight.data.mul_(1.0 + random.Random().random())
        return net


class TiesNothing(Blocks):
    tied = ("stem", "stem0")


class FreesNothing(Blocks):
    parameter_free = frozenset({"identity"})


class RunsAllOptions(Blocks):
    def mix(self, block, x, weights):
        for option in block.options.values():
            option(x)
        return block(x, weights)


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (IgnoresOneChoice, "every_choice_has_an_effect", "'layer1'"),
        (AveragesOptions, "one_hot_law", "scale 'search'"),
        (ScalesByLargest, "one_hot_law", "scale 'eval'"),
        (NumbersItsOptions, "network_is_part_of_supernet", "that its supernet lacks"),
        (ShapesDiffer, "network_is_part_of_supernet", "'stem.weight'"),
        (NumbersAreFactors, "one_path_law", "option numbers"),
        (ForgetsWhatIsPicked, "one_path_law", "Picked"),
        (MissingIsOff, "missing_weights_are_ones", "left out"),
        (FeatureInfoLies, "feature_info_is_true", "scale 'eval'"),
        (ColourOnly, "networks_fit_the_task", "channels"),
        (TenClasses, "networks_fit_the_task", "classes"),
        (StartsAnyhow, "building_is_seeded", "'stem.weight'"),
        (TiesNothing, "tied_modules_exist", "'stem0'"),
        (FreesNothing, "parameter_free_options_exist", "identity"),
        (RunsAllOptions, "path_costs_what_its_network_costs", "MACs"),
    ],
)
def test_networks(target, name, words):
    assert_caught(plugin_of("space", target, **SUPERNET), name, words)


class CheapSpace(Blocks):
    def cost(self, arch, task):
        return {"params": 1, "macs": 1}


def test_a_cost_that_is_not_what_is_measured():
    plugin = plugin_of("space", CheapSpace, provides=frozenset({KnownCost, NetworkSpace}))
    assert_caught(plugin, "cost_is_what_is_measured", "cost() says 1 params")


def test_the_networks_without_bugs_are_sound():
    assert_sound(plugin_of("space", Blocks, **SUPERNET))


class Reduces(Blocks):
    def build_reduced(self, task, kept):
        return Net(self, task, {c.name: kept.get(c.name, c.options) for c in self.choices}, "search")


class HasBaseline(Blocks):
    @property
    def baseline(self):
        return self.sample(random.Random(3))


class ForgetsItsBaseline(Blocks):
    calls = itertools.count()

    @property
    def baseline(self):
        return self.sample(random.Random(next(self.calls)))


BASELINE = {"provides": frozenset({NetworkSpace, KnownBaseline})}


def test_baselines_are_architectures():
    assert_sound(plugin_of("space", HasBaseline, **BASELINE))
    name = "baseline_is_an_architecture"
    assert_caught(plugin_of("space", ForgetsItsBaseline, **BASELINE), name, "changes between calls")


class ReducesNothing(Blocks):
    def build_reduced(self, task, kept):
        return Net(self, task, None, "search")


class RunsReducedAlone(Reduces):
    def mix(self, block, x, weights):
        whole = len(block.options) == len(block.choice.options)
        return block(x, weights if whole else None)


REDUCED = {"provides": frozenset({NetworkSpace, ReducedNetworks})}


def test_networks_without_some_options():
    assert_sound(plugin_of("space", Reduces, **REDUCED))
    name = "reduced_networks_compute_the_same"
    assert_caught(plugin_of("space", ReducesNothing, **REDUCED), name, "all modules of the supernet")
    assert_caught(plugin_of("space", RunsReducedAlone, **REDUCED), name, "gives other logits")
