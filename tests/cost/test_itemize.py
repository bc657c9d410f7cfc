"""What single options cost: sums equal measurements on every space that is built of choice blocks."""

from random import Random

import pytest
import torch
from torch import nn

from nasforge.config import PluginConfig
from nasforge.cost import measure_arch
from nasforge.cost.itemize import count_options, itemize, signature
from nasforge.errors import RunError
from nasforge.nn import Network, Output
from nasforge.plugins import Registry
from nasforge.recipe import Part, parse_options
from nasforge.runs.build import build
from nasforge.space import Task
from nasforge.testing.parts import TinySpace
from support.wrapped_space import WrappedSpace

TASK = Task(3, 32, 7)


class OpaqueNetwork(Network):
    def __init__(self, task):
        super().__init__()
        self.classifier = nn.Linear(task.in_channels, task.num_classes)

    def forward(self, x, weights=None):
        return Output(self.classifier(x.mean((2, 3))))


class OpaqueSpace(WrappedSpace):
    """Its networks vary in a way of their own."""

    def build(self, task, arch=None, scale="final"):
        return OpaqueNetwork(task)


def builtin(name):
    plugin = Registry.discover().get("space", name)
    return build(Part("space", plugin, parse_options(plugin, dict(plugin.tiny))))


SPACES = {
    "tiny": lambda: TinySpace(PluginConfig()),
    "wrapped": lambda: WrappedSpace(PluginConfig()),
    **{name: lambda name=name: builtin(name) for name in ("nasbench201", "darts", "chain")},
}


@pytest.mark.parametrize("name", SPACES)
def test_sums_are_what_is_measured(name):
    space, rng = SPACES[name](), Random(0)
    cost = count_options(space, TASK)
    for _ in range(4):
        arch = space.canonical(space.sample(rng))
        measured = measure_arch(space, TASK, arch)
        assert cost.of(arch) == {"params": measured.params, "macs": measured.macs}
        assert all(cost.bound(n) <= cost.of(arch)[n] for n in ("params", "macs"))


@pytest.mark.parametrize("name", SPACES)
def test_the_cheapest_architecture_reaches_the_bound(name):
    space = SPACES[name]()
    cost = count_options(space, TASK)
    arch = space.discretize(cost.preferences("macs"))
    space.validate(arch)
    assert measure_arch(space, TASK, arch).macs == cost.bound("macs")


def test_items_know_what_they_lie_inside_and_what_they_see():
    _, items = itemize(WrappedSpace(PluginConfig()), TASK)
    by_name = {item.name: item for item in items}
    edge, inner = by_name["node.edges.in1"], by_name["node.edges.in1.block.options.conv3"]
    assert edge.around is None
    assert inner.around == edge.name
    assert inner.picks == (("inputs", "in1"), ("op/in1", "conv3"))
    assert inner.shapes == ((1, 4, 32, 32),)


def test_a_space_that_varies_in_its_own_way_is_refused_by_name():
    with pytest.raises(RunError, match=r"OpaqueSpace: choice 'inputs' is not a ChoiceBlock or EdgeSum"):
        count_options(OpaqueSpace(PluginConfig()), TASK)


def test_modules_that_compute_alike_have_one_signature():
    def conv(**options):
        return nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, **options))

    assert signature(conv()) == signature(conv().eval())
    with torch.device("meta"):
        assert signature(conv()) == signature(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3)))
    different = [conv(), conv(stride=2), conv(padding=1), conv(dilation=2), conv(groups=2), conv(bias=False)]
    assert len({signature(module) for module in different}) == len(different)
