"""Sizes of networks, however they compute."""

from random import Random

import pytest
import torch

from nasforge.cost.counting import measure, measure_arch
from nasforge.plugins import Registry
from nasforge.space import Task

TASK = Task(1, 8, 10)


@pytest.mark.parametrize("name", ["chain", "darts", "nasbench201"])
def test_a_network_costs_the_same_on_every_device_and_by_any_operators(name):
    plugin = Registry.discover().get("space", name)
    space = plugin.load()(plugin.config(**plugin.tiny))
    for seed in range(3):
        arch = space.sample(Random(seed))
        network = space.build(TASK, arch, "final").train()
        assert measure(network, TASK) == measure_arch(space, TASK, arch)
        assert network.training
        assert not network.plain


def test_macs_of_a_convolution_and_a_linear_layer():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(4 * 8 * 8, 10)
    )
    found = measure(network, TASK)
    assert found.macs == 8 * 8 * 4 * 9 + 4 * 8 * 8 * 10
    assert found.params == 4 * 9 + 4 + 4 * 8 * 8 * 10 + 10
