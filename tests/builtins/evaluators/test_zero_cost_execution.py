"""Proxies see every module and every ReLU, however fast a network computes otherwise."""

from random import Random

import pytest
import torch

from nasforge.plugins import Registry
from nasforge.space import Task
from nasforge_plugins.evaluators.zero_cost.proxies import PROXIES

SPACES = ("darts", "nasbench201", "chain")


def scores(name, execution):
    plugin = Registry.discover().get("space", name)
    space = plugin.load()(plugin.config(**{**plugin.tiny, "execution": execution}))
    torch.manual_seed(0)
    network = space.build(Task(image_size=16), space.sample(Random(3)), scale="final")
    images, labels = torch.randn(4, 3, 16, 16), torch.arange(4)
    found = {}
    for proxy, score in PROXIES.items():
        torch.manual_seed(1)
        found[proxy] = score(network, images, labels)
    assert not network.plain, "a proxy has changed the network it was given"
    return found


@pytest.mark.parametrize("name", SPACES)
def test_every_proxy_scores_a_network_alike_whatever_its_execution(name):
    assert scores(name, "fast") == scores(name, "reference")
