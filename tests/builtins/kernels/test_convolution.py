"""Convolutions by minimal filtering, and their gradients, are what torch computes directly."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nasforge_plugins.kernels.convolution import convolve, convolve_backward, has_kernels
from support.kernels import needs_kernels

pytestmark = needs_kernels
CLOSE = {torch.float64: 1e-12, torch.float32: 5e-6}  # largest error, in root mean squares of the result


def given(images=3, sides=(6, 7), inner=5, outer=4, dtype=torch.float64):
    """Return a map, a weight, and the gradient of what they give."""
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": dtype}
    x = torch.randn(images, *sides, inner, **options) + 0.5
    weight = torch.randn(outer, inner, 3, 3, **options)
    return x, weight, torch.randn(images, *sides, outer, **options)


def directly(x, weight, grad):
    """Return map, mean, variance and gradients of x and weight, from float64."""
    x, weight, grad = (t.double().contiguous() for t in (x, weight, grad))
    x, weight = x.requires_grad_(), weight.requires_grad_()
    out = F.conv2d(x.permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)
    out.backward(grad)
    variance, mean = torch.var_mean(out.detach(), (0, 1, 2), correction=0)
    return out.detach(), mean, variance, x.grad, weight.grad


def ours(x, weight, grad):
    return (
        *convolve(x, weight, moments=True),
        *convolve_backward(grad, x, weight, of_x=True, of_weight=True),
    )


def compare(*tensors):
    names = ("map", "mean", "variance", "gradient of x", "gradient of the weight")
    for name, found, expected in zip(names, ours(*tensors), directly(*tensors), strict=True):
        assert found.shape == expected.shape, name
        assert found.dtype == tensors[0].dtype, name
        size = expected.square().mean().sqrt() + 1e-30
        assert ((found.double() - expected).abs().max() / size).item() < CLOSE[found.dtype], name


@pytest.mark.parametrize("sides", [(8, 8), (7, 9), (1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (18, 5), (33, 3)])
@pytest.mark.parametrize("images", [1, 2, 5])
def test_sizes(sides, images):
    compare(*given(images, sides))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("outer", [1, 5, 16, 17, 48, 64, 70])
@pytest.mark.parametrize("inner", [1, 5, 16, 17, 48])
def test_channels(inner, outer, dtype):
    compare(*given(inner=inner, outer=outer, dtype=dtype))


def test_many_images():
    compare(*given(images=37, sides=(9, 8)))


def test_groups_of_tiles_that_end_within_an_image():
    compare(*given(images=5, sides=(11, 13), inner=16, outer=48))


def test_other_layouts():
    x, weight, grad = given(inner=4, outer=6)
    spread = torch.stack((x, x), -1)[..., 0]
    turned = grad.transpose(1, 2).contiguous().transpose(1, 2)
    assert not spread.is_contiguous()
    assert not turned.is_contiguous()
    compare(spread, weight.contiguous(memory_format=torch.channels_last), turned)


@pytest.mark.parametrize("of_x", [True, False])
@pytest.mark.parametrize("of_weight", [True, False])
def test_only_gradients_that_are_wanted(of_x, of_weight):
    tensors = x, weight, grad = given(images=5, inner=16, outer=16)
    *_, to_x, to_weight = directly(*tensors)
    found = convolve_backward(grad, x, weight, of_x=of_x, of_weight=of_weight)
    for one, expected, wanted in zip(found, (to_x, to_weight), (of_x, of_weight), strict=True):
        if wanted:
            torch.testing.assert_close(one, expected)
        else:
            assert not one.numel()


def test_statistics_only_where_wanted():
    x, weight, _ = given()
    _, mean, variance = convolve(x, weight, moments=False)
    assert not mean.numel()
    assert not variance.numel()


def test_small_spread_around_a_large_mean():
    """Its squares must not drown in the mean's, in one image nor between those that are far apart."""
    x, weight, _ = given(images=6, inner=1, outer=3, dtype=torch.float32)
    weight.zero_()[:, :, 1, 1] = 1
    x.uniform_(generator=torch.Generator().manual_seed(0)).add_(1000)
    _, mean, variance = convolve(x, weight, moments=True)
    expected = x.double()
    assert mean.tolist() == pytest.approx([expected.mean().item()] * 3, rel=1e-6)
    assert variance.tolist() == pytest.approx([expected.var(correction=0).item()] * 3, rel=0.02)
    x[3:] -= 2000
    _, mean, variance = convolve(x, weight, moments=True)
    assert variance.tolist() == pytest.approx([x.double().var(correction=0).item()] * 3, rel=1e-5)


@pytest.mark.parametrize("sides", [(32, 32), (8, 8), (5, 7)])
def test_bits_do_not_depend_on_threads(sides):
    tensors, threads, found = given(13, sides, 16, 33, torch.float32), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(ours(*tensors))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*found, strict=True))


@pytest.mark.parametrize("what", [torch.nan, torch.inf])
@pytest.mark.parametrize(("at", "reached"), [((2, 3), 9), ((0, 0), 4), ((5, 6), 4), ((3, 6), 6)])
def test_what_is_no_number_is_seen(at, reached, what):
    """By the outputs that see that pixel, and by no others."""
    x, weight, grad = given()
    x[(1, *at)][2] = what
    out, mean, variance, _, to_weight = ours(x, weight, grad)
    for channel in range(weight.shape[0]):
        assert (~out[1, ..., channel].isfinite()).sum().item() == reached
    assert out[::2].isfinite().all()
    assert not (mean.isfinite() | variance.isfinite()).any()
    assert not to_weight[:, 2].isfinite().all()
    grad[(1, *at)][0] = what
    to_x, _ = convolve_backward(grad, x, weight, of_x=True, of_weight=False)
    assert (~to_x[1, ..., 0].isfinite()).sum().item() == reached


def test_arithmetic_is_that_of_a_direct_convolution():
    tensors = given()
    with FlopCounterMode(display=False) as counter:
        convolve(*tensors[:2], moments=True)
    pairs = 3 * 6 * 7 * 5 * 4 * 9
    assert counter.get_total_flops() == 2 * pairs
    x, weight, grad = tensors
    for wanted in ({"of_x": True, "of_weight": False}, {"of_x": True, "of_weight": True}):
        with FlopCounterMode(display=False) as counter:
            convolve_backward(grad, x, weight, **wanted)
        assert counter.get_total_flops() == 2 * pairs * sum(wanted.values())


def test_what_there_are_kernels_for(monkeypatch):
    x = torch.zeros(2, 5, 5, 3)
    assert has_kernels(x)
    assert not has_kernels(x.half())
    assert not has_kernels(x.to("meta"))
    assert not has_kernels(x[:0])
    monkeypatch.setenv("NASFORGE_NATIVE", "0")
    assert not has_kernels(x)
