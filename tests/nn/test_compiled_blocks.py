"""Blocks that torch.compile compiles: the same network, and one graph per kind of block."""

import functools

import pytest
import torch

from nasforge.nn import Network, Output
from nasforge.plugins import Registry
from nasforge.recipe import RunConfig
from nasforge.runtime import Runtime
from nasforge.space import Task

TASK = Task(image_size=16)
CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"


@pytest.fixture
def graphs(monkeypatch):
    """What is compiled: the compiler's first half only, for the second takes seconds per block."""
    seen = []

    def backend(graph, example_inputs):
        seen.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch.compiler.reset()
    yield seen
    torch.compiler.reset()


def network(compiles, checkpointing=False, cells=2):
    plugin = Registry.discover().get("space", "nasbench201")
    space = plugin.load()(plugin.config.model_validate({"channels": 4, "cells": cells}))
    runtime = Runtime.create("cpu", compile=compiles, gradient_checkpointing=checkpointing)
    torch.manual_seed(0)
    return runtime.prepare_training(space.build(TASK, space.parse(CELL), scale="final")).double()


def step(network):
    torch.manual_seed(1)
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    network(images).logits.square().sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return [*gradients, *network.eval()(images), *network.state_dict().values()]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiled_blocks_compute_the_same(graphs, checkpointing):
    expected = step(network(False))
    assert not graphs
    found = step(network(True, checkpointing))
    assert graphs
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)


def test_equal_blocks_are_compiled_once(graphs):
    step(network(True, cells=3))
    assert len(graphs) == 6  # three widths, in training and in test


def test_parameters_keep_their_names(graphs):
    assert list(network(True).state_dict()) == list(network(False).state_dict())


def test_a_network_without_blocks_is_not_compiled_and_the_user_is_told():
    with pytest.warns(UserWarning, match="run.compile: Network has no blocks to compile"):
        Runtime.create("cpu", compile=True).prepare_training(Network())


@pytest.mark.parametrize(("written", "compiles"), [(True, True), (False, False), ("auto", False)])
def test_the_recipe_decides(written, compiles):
    runtime = Runtime.of(RunConfig(compile=written))
    assert runtime.compile is compiles
    assert not hasattr(runtime.prepare(torch.nn.Linear(1, 1)), "compiles")
    assert not runtime.prepare(OneBlock()).compiles, "a search network"
    assert runtime.prepare_training(OneBlock()).compiles is compiles


class OneBlock(Network):
    has_blocks = True

    def __init__(self):
        super().__init__()
        self.block = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())

    def forward(self, x, weights=None):
        return Output(self.run_block(self.block, self.block, x.mean((2, 3))))


@pytest.mark.slow
def test_the_compiler_of_torch_compiles_a_block():
    images, found = torch.randn(4, 3, 2, 2), []
    for compiles in (False, True):
        torch.manual_seed(0)
        one = Runtime.create("cpu", compile=compiles).prepare_training(OneBlock())
        logits = one(images).logits
        logits.sum().backward()
        found.append([logits.detach(), *(p.grad for p in one.parameters())])
    torch.testing.assert_close(*found)
