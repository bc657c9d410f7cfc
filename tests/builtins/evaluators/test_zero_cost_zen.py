"""Zen-scores worked out by hand, and as the published code computes them."""

import math

import pytest
import torch
from torch import nn

from nasforge.nn import Network, Output
from nasforge_plugins.evaluators.zero_cost.expressivity import zen

LABELS = torch.tensor([0])


class Stack(Network):
    """Modules in a row; their output is the last feature map."""

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x, weights=None):
        feature = self.parts(x)
        return Output(feature.flatten(2).mean(2) if feature.dim() > 2 else feature, (feature,))


def test_zen_of_a_linear_layer():
    network = Stack([nn.Flatten(), nn.Linear(2, 1, bias=False)])
    torch.manual_seed(3)
    found = zen(network, torch.zeros(4, 2, 1, 1), LABELS)
    torch.manual_seed(3)
    weight = nn.init.normal_(torch.empty(1, 2))
    torch.randn(4, 2, 1, 1)
    change = 0.01 * torch.randn(4, 2, 1, 1).flatten(1) @ weight.T
    assert found == pytest.approx(math.log(float(change.abs().mean())), rel=1e-3)


def test_zen_gives_back_what_batch_norm_takes():
    scores = []
    for norm in (True, False):
        torch.manual_seed(0)
        network = Stack([nn.Conv2d(2, 1, 1, bias=False), nn.BatchNorm2d(1) if norm else nn.Identity()])
        torch.manual_seed(1)
        scores.append(zen(network, torch.zeros(8, 2, 16, 16), LABELS))
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_zen_averages_over_draws():
    torch.manual_seed(0)
    network, images = Stack([nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()]), torch.zeros(4, 2, 8, 8)
    torch.manual_seed(1)
    one_by_one = [zen(network, images, LABELS) for _ in range(5)]
    torch.manual_seed(1)
    assert zen(network, images, LABELS, draws=5) == pytest.approx(sum(one_by_one) / 5)


@pytest.mark.parametrize(("draws", "offset"), [(1, -0.830), (32, -0.095)])
def test_zen_and_the_published_score_differ_by_a_constant_per_batch_norm(draws, offset):
    """Written as ZenNAS does it: running variances that go on from draw to draw."""
    torch.manual_seed(0)
    width, layers = 32, 3
    parts = [
        nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        for _ in range(layers)
    ]
    network, scores = Stack(parts), []
    for _ in range(draws):
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight)
        noise, other = torch.randn(16, width, 8, 8), torch.randn(16, width, 8, 8)
        with torch.no_grad():
            change = (network.parts(noise) - network.parts(noise + 0.01 * other)).abs().sum((1, 2, 3)).mean()
        kept = sum(part[1].running_var.mean().sqrt().log() for part in parts)
        scores.append(float(change.log() + kept))
    published = sum(scores) / draws
    ours = zen(Stack(parts), torch.zeros(16, width, 8, 8), LABELS, draws=64)
    # One draw deviates by .03 per batch-norm; variances are 100 times the 1 that running variances start at.
    assert (published - ours) / layers == pytest.approx(offset, abs=0.05)
