"""Bugs planted in a sound space with elastic choices: the kit finds each, and says what it is."""

from typing import ClassVar

import pytest
from torch import nn
from torch.nn import functional as F

from nasforge.arch import Choice
from nasforge.nn import (
    Extent,
    FeatureInfo,
    Network,
    Output,
    Sliced,
    SlicedConv2d,
    SlicedLayerNorm,
    SlicedLinear,
    Width,
    cut,
    pick_options,
    weighted_sum,
)
from nasforge.space import NetworkSpace
from nasforge.testing.parts import TinySpace
from support.planting import assert_caught, find, plugin_of

SUPERNET = {"provides": frozenset({NetworkSpace})}


class Stem(nn.Conv2d, Sliced):
    def forward(self, x, channels):
        return F.conv2d(x, cut(self.weight, channels), cut(self.bias, channels), padding=1)


class Net(Network):
    """Two widths: one of the whole network, which is masked, and a hidden one, whose options run alone."""

    def __init__(self, space, task, arch):
        super().__init__()
        self.space = space
        width, self.hidden = space.choices
        self.width = Width(width, int, arch)
        self.options = pick_options(self.hidden, arch)
        self.stem = space.stem(task.in_channels, self.width.largest)
        self.norm = SlicedLayerNorm(self.width.largest)
        self.up = space.linear(self.width.largest, max(map(int, self.options)))
        self.down = SlicedLinear(max(map(int, self.options)), self.width.largest)
        self.classifier = SlicedLinear(self.width.largest, task.num_classes)
        self.feature_info = (FeatureInfo(self.width.largest, 1),)

    def forward(self, x, weights=None):
        extent = self.space.extent(self.width.under(weights, x))
        x = self.stem(x, extent.size).movedim(1, -1)
        x = extent.scale(x)
        normed = self.norm(x, extent)
        terms = ((o, lambda o=o: self.space.branch(self, normed, int(o), extent)) for o in self.options)
        x = x + extent.scale(weighted_sum(self.hidden, terms, weights))
        feature = F.pad(x, (0, self.width.largest - extent.size)).movedim(-1, 1)
        return Output(self.classifier(x.mean((1, 2))), (feature,))


class Elastic(TinySpace):
    tied = ()
    parameter_free = frozenset()
    stem = staticmethod(lambda c_in, c_out: Stem(c_in, c_out, 3))
    linear = SlicedLinear

    @property
    def choices(self):
        return (
            Choice("width", ("4", "6"), elastic=True),
            Choice("hidden", ("3", "5", "8"), elastic=True),
        )

    def extent(self, extent):
        return extent

    def branch(self, net, x, hidden, extent):
        return net.down(net.up(x, hidden).relu(), extent.size)

    def build(self, task, arch=None, scale="final"):
        return Net(self, task, arch)


class TakesTheLast(Elastic):
    class Last(SlicedLinear):
        def forward(self, x, outputs=None):
            start = self.out_features - (outputs or self.out_features)
            return F.linear(x, self.weight[start:, : x.shape[-1]], self.bias[start:])

    linear = Last


class ForgetsToMark(Elastic):
    class Unmarked(nn.Linear):
        forward = SlicedLinear.forward

    linear = Unmarked


class NetworkHasMore(Elastic):
    def build(self, task, arch=None, scale="final"):
        net = Net(self, task, arch)
        if arch is not None:
            net.norm = SlicedLayerNorm(7)
        return net


class RunsAtFullSize(Elastic):
    def branch(self, net, x, hidden, extent):
        up = net.up(x).relu()
        return net.down(up * (hidden > up.new_ones(up.shape[-1]).cumsum(0) - 1), extent.size)


class NormSeesAll(Elastic):
    def build(self, task, arch=None, scale="final"):
        net = Net(self, task, arch)
        plain = net.norm.forward
        net.norm.forward = lambda x, extent: extent.scale(plain(x))
        return net


class PickedHasNoWeight(Elastic):
    def extent(self, extent):
        return extent if extent.weight is None or extent.weight.dim() else Extent(extent.size)


class LargestFirst(Elastic):
    @property
    def choices(self):
        width, hidden = super().choices
        return (width, Choice("hidden", tuple(reversed(hidden.options)), elastic=True))


class TiesASlice(Elastic):
    tied = ("stem",)


class KernelNet(Network):
    """A kernel whose smaller options are the middle of the largest."""

    def __init__(self, space, task, arch):
        super().__init__()
        (self.kernel,) = space.choices
        self.options = pick_options(self.kernel, arch)
        side = int(self.options[-1])
        self.conv = space.conv(task.in_channels, 4, side, 1, side // 2)
        self.classifier = nn.Linear(4, task.num_classes)
        self.feature_info = (FeatureInfo(4, 1),)

    def forward(self, x, weights=None):
        terms = ((o, lambda o=o: self.conv(x, kernel=int(o)).relu()) for o in self.options)
        y = weighted_sum(self.kernel, terms, weights)
        return Output(self.classifier(y.mean((2, 3))), (y,))


class ElasticKernel(TinySpace):
    tied = ()
    parameter_free = frozenset()
    conv = SlicedConv2d

    @property
    def choices(self):
        return (Choice("kernel", ("1", "3", "5"), elastic=True),)

    def build(self, task, arch=None, scale="final"):
        return KernelNet(self, task, arch)


class ForgetsTheMiddle(ElasticKernel):
    class Leading(SlicedConv2d):
        centred: ClassVar = {}

    conv = Leading


class EvenKernel(ElasticKernel):
    class Wider(SlicedConv2d):
        """Has a side of 6 in the supernet, where networks have 1, 3 or 5."""

        def __init__(self, c_in, c_out, side, stride, padding):
            super().__init__(c_in, c_out, 6 if side == 5 else side, stride, padding)

        def forward(self, x, kernel):
            return super().forward(x)[..., : x.shape[2], : x.shape[3]]

    conv = Wider


LAWS = (
    "network_is_part_of_supernet",
    "one_hot_law",
    "one_path_law",
    "missing_weights_are_ones",
    "every_choice_has_an_effect",
    "feature_info_is_true",
    "networks_fit_the_task",
    "tied_modules_exist",
    "elastic_options_grow",
    "path_costs_what_its_network_costs",
)
"""The checks of networks, without the export, which knows nothing of elastic choices."""


@pytest.mark.parametrize("name", LAWS)
def test_elastic_choices_without_bugs_are_sound(name):
    find(plugin_of("space", Elastic, **SUPERNET), name)()


@pytest.mark.parametrize("name", LAWS)
def test_elastic_kernels_without_bugs_are_sound(name):
    find(plugin_of("space", ElasticKernel, **SUPERNET), name)()


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        (TakesTheLast, "one_hot_law", "gives other"),
        (TakesTheLast, "one_path_law", "gives other"),
        (ForgetsToMark, "network_is_part_of_supernet", "nasforge.nn.Sliced"),
        (NetworkHasMore, "network_is_part_of_supernet", "(7,) in the network"),
        (RunsAtFullSize, "path_costs_what_its_network_costs", "MACs"),
        (NormSeesAll, "one_hot_law", "gives other"),
        (PickedHasNoWeight, "one_path_law", "Picked"),
        (LargestFirst, "elastic_options_grow", "from the smallest slice"),
        (TiesASlice, "tied_modules_exist", "has a slice"),
        (ForgetsTheMiddle, "one_hot_law", "gives other"),
        (EvenKernel, "network_is_part_of_supernet", "smaller by an even number"),
    ],
)
def test_elastic_choices(target, name, words):
    assert_caught(plugin_of("space", target, **SUPERNET), name, words)
