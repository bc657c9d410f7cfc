"""Scores of a network under the statistics of each batch."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nasforge.nn import Output
from nasforge.runtime import Runtime
from nasforge.training.loops import score


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(3), nn.Linear(3, 4)

    def forward(self, images):
        return Output(self.head(self.norm(images).mean((2, 3)).relu()), ())


def test_statistics_are_those_of_each_batch_and_leave_no_trace():
    torch.manual_seed(0)
    network = Normed().eval()
    batches = [(torch.randn(8, 3, 4, 4) * 3 + 1, torch.randint(0, 4, (8,))) for _ in range(3)]
    before = {n: b.clone() for n, b in network.named_buffers() if n != "norm.num_batches_tracked"}
    runtime = Runtime(torch.device("cpu"))
    found = score(network, batches, runtime, batch_statistics=True)
    losses = []
    for images, labels in batches:
        mean, variance = images.mean((0, 2, 3)), images.var((0, 2, 3), correction=0)
        normed = (images - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        losses.append(cross_entropy(network.head(normed.mean((2, 3)).relu()), labels).item())
    assert found.loss == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert found.loss != pytest.approx(score(network, batches, runtime).loss, rel=1e-3)
    assert all(torch.equal(before[name], dict(network.named_buffers())[name]) for name in before)
    assert (network.training, network.norm.training, network.norm.momentum) == (False, False, 0.1)
