"""The worked example of a user's space, and a second one with nodes, nested choices and repeated cells."""

import importlib.util
import sys
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn

from nasforge import Arch, Choice, PluginConfig
from nasforge.nn import ArchParameters, ChoiceBlock, EdgeSum, FeatureInfo, Network, Output
from nasforge.plugins import Plugin, Registry
from nasforge.space import NetworkSpace, Task
from nasforge.testing import checks_for, conformance
from nasforge.testing.parts import Partners

FILE = Path(__file__).parents[2] / "examples" / "mobilenet_chain" / "mobilenet_chain.py"


def load_example():
    spec = importlib.util.spec_from_file_location("mobilenet_chain", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


example = load_example()
PLUGIN = example.nasforge_plugins()[0]
TINY = {"stem": 4}


def small_space():
    return example.MobileNetChain(example.MobileNetChainConfig(stem=4))


class TestExampleConforms:
    @conformance(
        "mobilenet_chain",
        {"listing_is_light": "space and hook share one file, for a first try next to the recipe"},
        options={"mobilenet-chain": TINY},
    )
    def test_conformance(self, check, monkeypatch):
        monkeypatch.syspath_prepend(str(FILE.parent))
        check()


def test_it_is_short():
    assert len(FILE.read_text().splitlines()) < 80


def test_it_is_the_chain_it_says():
    space = example.MobileNetChain(example.MobileNetChainConfig())
    assert len(space.choices) == 8
    assert space.size() == 3**6 * 2**2
    net = space.build(Task(3, 32, 10))
    assert net.stem[0][0].out_channels == 32
    assert [tuple(info) for info in net.feature_info] == [(32, 1), (64, 2), (128, 4)]
    wide = net.layers[0].options["e6k5"].body
    assert wide[2][0].kernel_size == (5, 5)
    assert wide[2][0].out_channels == 6 * 32


def test_it_registers_as_any_plugin():
    registry = Registry([PLUGIN])
    assert registry.get("space", "mobilenet-chain").load() is example.MobileNetChain
    assert registry.broken == []


def test_weights_decide_the_architecture():
    space = small_space()
    alpha = ArchParameters(space.choices, std=0.0)
    with torch.no_grad():
        alpha.logits["layer0"][2] = 1.0
        alpha.logits["layer1"][0] = 1.0
    arch = space.discretize(alpha.as_lists())
    assert arch["layer0"] == ("e6k5",)
    assert arch["layer1"] == ("identity",)
    assert arch["layer2"] == ("e3k3",)


@pytest.mark.parametrize("name", ["cdarts", "evolution", "random"])
def test_searchers_search_it_and_resume_exactly(name):
    searcher = Registry.discover().get("searcher", name)
    checks = {c.name: c for c in checks_for(searcher, partners=Partners(space=small_space))}
    checks["resuming_equals_not_stopping"]()
    checks["best_is_valid_after_every_step"]()


class Cell(nn.Module):
    """A node of two inputs, each through a choice of operations."""

    def __init__(self, choices, arch):
        super().__init__()

        def operation(option):
            return (
                nn.Identity() if option == "skip" else nn.Conv2d(4, 4, int(option), padding=int(option) // 2)
            )

        def edge(name):
            return ChoiceBlock(choices[f"cell/{name}"], operation, arch)

        self.node = EdgeSum(choices["cell/inputs"], edge, arch)

    def forward(self, previous, x, weights):
        return self.node({"previous": previous, "last": x, "sum": previous + x}, weights)


class CellNetwork(Network):
    """One cell, repeated: the same choices answer for every copy."""

    def __init__(self, choices, task, arch, cells):
        super().__init__()
        self.stem = nn.Conv2d(task.in_channels, 4, 3, padding=1)
        self.cells = nn.ModuleList([Cell(choices, arch) for _ in range(cells)])
        self.classifier = nn.Linear(4, task.num_classes)
        self.feature_info = (FeatureInfo(4, 1),)

    def forward(self, x, weights=None):
        previous = x = self.stem(x)
        for cell in self.cells:
            previous, x = x, cell(previous, x, weights)
        return Output(self.classifier(x.mean((2, 3))), (x,))


class CellSpace(NetworkSpace[PluginConfig]):
    parameter_free = frozenset({"skip"})
    tied = ("stem",)

    @property
    def choices(self):
        inputs = ("previous", "last", "sum")
        edges = Choice("cell/inputs", inputs, k=2, kind="edge")
        return (edges, *(Choice(f"cell/{name}", ("skip", "1", "3")) for name in inputs))

    def build(self, task, arch=None, scale="final"):
        choices = {c.name: c for c in self.choices}
        return CellNetwork(choices, task, arch, 2 if scale == "search" else 3)


CELLS = Plugin("space", "cells", f"{__name__}:CellSpace", provides=frozenset({NetworkSpace}))


def cell_checks():
    return [c for c in checks_for(CELLS) if c.name != "listing_is_light"]


@pytest.mark.parametrize("check", cell_checks(), ids=lambda check: check.name)
def test_nested_and_repeated_blocks_conform(check):
    check()


def test_an_architecture_answers_for_every_copy_of_the_cell():
    space = CellSpace(PluginConfig())
    arch = space.sample(Random(0))
    net = space.build(Task(3, 8, 3), arch)
    edges = [tuple(cell.node.edges) for cell in net.cells]
    assert edges == [edges[0]] * 3
    assert set(edges[0]) == set(arch["cell/inputs"])
    assert isinstance(arch, Arch)


def test_cdarts_searches_nested_choices_too():
    searcher = Registry.discover().get("searcher", "cdarts")
    partners = Partners(space=lambda: CellSpace(PluginConfig()))
    checks = {c.name: c for c in checks_for(searcher, partners=partners)}
    checks["resuming_equals_not_stopping"]()
