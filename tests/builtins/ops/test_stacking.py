"""Stacked norms pass torch what its kernels can read."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge_plugins.ops.stacking import NormStack
from nasforge_plugins.ops.statistics import RunningStatistics


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("affine", [True, False])
def test_scales_are_contiguous(count, affine, monkeypatch):
    """In channels-last, the backward pass of torch's norm reads a scale with stride 0 beyond its end."""
    seen = []

    def batch_norm(x, mean, variance, scale, *more):
        seen.append(scale)
        return normalise(x, mean, variance, scale, *more)

    normalise = F.batch_norm
    monkeypatch.setattr(F, "batch_norm", batch_norm)
    norms = [nn.BatchNorm2d(8, affine=affine) for _ in range(count)]
    stack = NormStack(norms, [count], torch.full((count,), 0.5), True, RunningStatistics())
    stack.run(0, torch.randn(4, 8 * count, 2, 2).contiguous(memory_format=torch.channels_last))
    assert seen[0].is_contiguous()
    assert torch.equal(seen[0], torch.full((8 * count,), 0.5))
