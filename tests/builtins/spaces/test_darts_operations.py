"""The parts of fast execution, each against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from nasforge_plugins.kernels.depthwise import DepthwiseLayer, depthwise, input_gradient, readable, stack
from nasforge_plugins.kernels.folding import fold, moments, unfold
from nasforge_plugins.kernels.interleaving import deinterleave, interleave
from nasforge_plugins.ops.auxiliary import AuxiliaryHead
from nasforge_plugins.ops.basics import concatenate


def images(*shape):
    return torch.randn(shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last)


STEPS = pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 2)])


@pytest.mark.parametrize("kernel", [3, 5])
@STEPS
@pytest.mark.parametrize(("height", "width"), [(4, 4), (7, 7), (9, 12), (16, 11), (1, 3), (2, 2)])
def test_depthwise(kernel, stride, dilation, height, width):
    torch.manual_seed(0)
    weight = torch.randn(3, 1, kernel, kernel, dtype=torch.float64)
    x = images(2, 3, height, width)
    results = []
    for ours in (False, True):
        inputs = [t.clone().requires_grad_() for t in (x, weight)]
        if ours:
            y = depthwise(*inputs, stride, dilation)
        else:
            y = F.conv2d(*inputs, None, stride, dilation * (kernel // 2), dilation, 3)
        y.sin().sum().backward()
        results.append([y, *(t.grad for t in inputs)])
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 8, 37])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kernel", [3, 5])
@STEPS
def test_groups_read_one_map_or_their_own(kernel, stride, dilation, shared, channels, dtype):
    torch.manual_seed(0)
    groups, steps = 3, (stride, dilation)
    x = torch.randn(1 if shared else groups, 2, 9, 12, channels, dtype=dtype, requires_grad=True)
    weights = [
        torch.randn(channels, 1, kernel, kernel, dtype=dtype, requires_grad=True) for _ in range(groups)
    ]

    def plain(group, weight):
        image = x[0 if shared else group].relu().permute(0, 3, 1, 2)
        y = F.conv2d(image, weight, None, stride, dilation * (kernel // 2), dilation, channels)
        return y.permute(0, 2, 3, 1)

    expected = torch.stack([plain(*pair) for pair in enumerate(weights)])
    grad = torch.randn_like(expected)
    expected.backward(grad)
    with torch.no_grad():
        stacked = stack(weights, *steps)
        read = readable(x, stacked)
        close = {"rtol": 1e-3, "atol": 1e-3} if dtype is torch.float32 else {}
        torch.testing.assert_close(stacked.convolve(read), expected, **close)
        to_weight = stacked.weight_gradient(grad, read)
        torch.testing.assert_close(to_weight, torch.cat([w.grad for w in weights]), **close)
        to_x = input_gradient([DepthwiseLayer(grad, stacked), DepthwiseLayer(2 * grad, stacked)], x)
        torch.testing.assert_close(to_x, 3 * x.grad, **close)


@pytest.mark.parametrize("kernel", [3, 5])
def test_dilation_is_undone_by_interleaving(kernel):
    x, weight = images(3, 2, 8, 6), torch.randn(2, 1, kernel, kernel, dtype=torch.float64)
    plain = F.conv2d(x, weight, None, 1, 2 * (kernel // 2), 2, 2)
    torch.testing.assert_close(deinterleave(depthwise(interleave(x), weight)), plain)


def test_gradients_of_joined_maps_stand_alone():
    maps = [images(2, c, 3, 3).requires_grad_() for c in (1, 4)]
    seen = []
    for m in maps:
        m.register_hook(seen.append)
    torch.testing.assert_close(concatenate(maps), torch.cat(maps, 1))
    (concatenate(maps) * 3).sum().backward()
    assert all(torch.equal(g, torch.full_like(g, 3)) for g in seen)
    assert all(g.is_contiguous(memory_format=torch.channels_last) for g in seen)


@pytest.mark.parametrize("training", [True, False])
def test_folded_norms(training):
    torch.manual_seed(0)
    layers, n, channels, eps = 3, 50, 4, 1e-3
    d, grad = (torch.randn(layers, n, channels, dtype=torch.float64) + 0.5 for _ in range(2))
    weight = torch.randn(layers, channels, channels, dtype=torch.float64)
    scale, shift = torch.randn(2, layers, channels, dtype=torch.float64)
    running = torch.rand(2, layers, channels, dtype=torch.float64) + 0.5
    inputs = [t.clone().requires_grad_() for t in (d, weight, scale, shift)]
    p = inputs[0] @ inputs[1].mT
    mean, variance = (p.mean(1), p.var(1, unbiased=False)) if training else running
    y = (p - mean.unsqueeze(1)) / (variance + eps).sqrt().unsqueeze(1)
    y = y * inputs[2].unsqueeze(1) + inputs[3].unsqueeze(1)
    y.backward(grad)
    folded = fold(
        weight, scale, shift, eps, n, seen=moments([d], 1) if training else None, running=tuple(running)
    )
    torch.testing.assert_close(d @ folded.product.mT + folded.bias, y)
    torch.testing.assert_close(folded.mean, mean)
    torch.testing.assert_close(folded.variance, variance)
    found = unfold(folded, weight, grad.mT @ d, grad.sum(1), n)
    to_d = grad @ folded.product
    if training:
        to_d = to_d - d @ found.back + found.level
    torch.testing.assert_close([to_d, found.weight, found.scale], [t.grad for t in inputs[:3]])


@pytest.mark.parametrize("form", ["cifar", "imagenet"])
@pytest.mark.parametrize("side", [1, 2, 4, 7, 8, 14])
def test_auxiliary_head_takes_any_side(form, side):
    head = AuxiliaryHead(6, 5, side, form)
    assert head(torch.randn(3, 6, side, side)).shape == (3, 5)
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in head.modules()) == (2 if form == "cifar" else 1)
