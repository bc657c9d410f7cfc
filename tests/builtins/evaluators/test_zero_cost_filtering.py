"""Convolutions that proxies compute by minimal filtering are those of torch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge_plugins.evaluators.zero_cost import filtering
from nasforge_plugins.evaluators.zero_cost.filtering import Filtered
from nasforge_plugins.kernels.convolution import has_kernels

needs_kernels = pytest.mark.skipif(not has_kernels(torch.zeros(1)), reason="there is no C compiler")


@pytest.fixture
def calls(monkeypatch):
    """How often a kernel convolved."""
    made, convolve = [], filtering.convolve

    def counting(*args, **options):
        made.append(args)
        return convolve(*args, **options)

    monkeypatch.setattr(filtering, "convolve", counting)
    return made


def run(layer, x, *, filtered):
    layer.zero_grad()
    x = x.clone().requires_grad_()
    if filtered:
        with Filtered():
            out = layer(x)
    else:
        out = layer(x)
    out.sin().sum().backward()
    return out.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())


@needs_kernels
@pytest.mark.parametrize("last", [True, False])
def test_values_and_gradients_are_those_of_torch(last, calls):
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 7, 3, padding=1, bias=False).double()
    x = torch.randn(2, 5, 6, 9, dtype=torch.float64)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    ours, theirs = run(layer, x, filtered=True), run(layer, x, filtered=False)
    assert len(calls) == 1
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, stride=2),
        nn.Conv2d(4, 4, 3, padding=2, bias=False, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=4),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.Conv2d(4, 4, 5, padding=2, bias=False),
        nn.Conv2d(4, 4, 1, bias=False),
        nn.Conv2d(4, 4, 3, padding="same", bias=False),
    ],
    ids=["bias", "stride", "dilation", "groups", "no border", "5x5", "1x1", "same"],
)
def test_other_convolutions_stay_those_of_torch(layer, calls):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    for one, other in zip(run(layer, x, filtered=True), run(layer, x, filtered=False), strict=True):
        assert torch.equal(one, other)
    assert not calls


def test_named_arguments_and_half_precision_are_left_to_torch(calls):
    x, weight = torch.randn(1, 3, 4, 4), torch.randn(2, 3, 3, 3)
    with Filtered():
        F.conv2d(x, weight, padding=1)
        F.conv2d(x.bfloat16(), weight.bfloat16(), None, 1, 1)
    assert not calls


@needs_kernels
def test_a_second_derivative_is_refused():
    layer = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    with Filtered():
        out = layer(torch.randn(1, 3, 4, 4)).sin().sum()
    (gradient,) = torch.autograd.grad(out, layer.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()
