"""Memory of networks, against counts by hand."""

import pytest
import torch
from torch import nn

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.cost.memory import MIB, memory_of, peak_memory
from nasforge.space import Task
from nasforge.testing.parts import TinySpace

TASK = Task(4, 16, 3)
MAP = 16 * 16 * 4 * 4  # bytes of an image


class Residual(nn.Module):
    """At most alive: the image, the rectified map, the second convolution's and their sum."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4, 8, 3, padding=1, bias=False)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.first(x)
        y = y.relu()
        return self.second(y) + y


class InPlace(Residual):
    """The image and one map are all there is: the second one is written over the first."""

    def forward(self, x):
        return self.first(x).relu_().mul_(2.0).flatten(1)


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(("kind", "maps"), [(Residual, 1 + 2 + 2 + 2), (InPlace, 1 + 2)])
def test_weights_and_the_most_maps_at_a_time(device, kind, maps):
    with torch.device(device):
        network = kind()
    weights = 4 * (4 * 8 * 9 + 8 * 8 * 9)
    assert peak_memory(network, TASK) * MIB == weights + maps * MAP
    assert network.training


def test_buffers_count_and_shared_weights_count_once():
    norm = nn.BatchNorm2d(4)
    network = nn.Sequential(norm, norm)
    # Scale, shift, mean and variance of four channels, and a counter of 8 bytes.
    assert peak_memory(network, TASK) * MIB == 4 * 4 * 4 + 8 + 3 * MAP


def test_architectures_are_told_without_weights():
    space = TinySpace(PluginConfig())
    operations = {f"op/in{i}": "none" for i in range(3)}
    small = Arch({"inputs": ("in0", "in1"), **operations})
    large = Arch({**small, "op/in0": "conv", "op/in1": "conv"})
    # Per conv and cell: 4 x 4 x 9 weights, and four numbers per channel and a counter of the norm.
    more = 2 * 2 * (4 * (4 * 4 * 9 + 4 * 4) + 8)
    assert (memory_of(space, TASK, large) - memory_of(space, TASK, small)) * MIB >= more
