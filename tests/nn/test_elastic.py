"""Slices of shared weights: what is copied, what a width weighs, what layers compute."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.errors import ArchError
from nasforge.nn import (
    DropPath,
    Extent,
    Picked,
    SlicedBatchNorm2d,
    SlicedConv2d,
    SlicedLayerNorm,
    SlicedLinear,
    Width,
    copy_shared,
    cut,
)
from nasforge.nn.elastic import place_slice

WIDTH = Choice("width", ("2", "3", "5"), elastic=True)


def layers(kind, *sizes):
    torch.manual_seed(sum(sizes))
    return nn.ModuleDict({"layer": kind(*sizes)})


def test_a_smaller_network_takes_the_leading_slice():
    small, large = layers(SlicedLinear, 3, 2), layers(SlicedLinear, 5, 4)
    copy_shared(small, large)
    assert torch.equal(small["layer"].weight, large["layer"].weight[:2, :3])
    assert torch.equal(small["layer"].bias, large["layer"].bias[:2])


def test_a_larger_one_keeps_what_lies_outside():
    small, large = layers(SlicedLinear, 3, 2), layers(SlicedLinear, 5, 4)
    expected = large["layer"].weight.detach().clone()
    expected[:2, :3] = small["layer"].weight.detach()
    copy_shared(large, small)
    assert torch.equal(large["layer"].weight, expected)


@pytest.mark.parametrize(("kind", "sizes"), [(nn.Linear, [(3, 2), (5, 4)]), (SlicedLinear, [(3, 4), (5, 2)])])
def test_other_shapes_are_refused(kind, sizes):
    small, large = (layers(kind, *size) for size in sizes)
    with pytest.raises(RuntimeError, match=r"layer\.weight"):
        copy_shared(small, large)


def test_a_smaller_kernel_is_the_middle_in_both_directions():
    small, large = layers(SlicedConv2d, 2, 3, 3), layers(SlicedConv2d, 4, 5, 7)
    whole = large["layer"].weight.detach().clone()
    copy_shared(small, large)
    assert torch.equal(small["layer"].weight, whole[:3, :2, 2:5, 2:5])
    nn.init.ones_(small["layer"].weight)
    copy_shared(large, small)
    whole[:3, :2, 2:5, 2:5] = 1.0
    assert torch.equal(large["layer"].weight, whole)
    with pytest.raises(RuntimeError, match=r"layer\.weight"):
        copy_shared(layers(SlicedConv2d, 2, 3, 4), large)


@pytest.mark.parametrize(
    ("part", "whole", "centred", "starts"),
    [
        ((2, 3), (4, 3), (), (0, 0)),
        ((2, 3), (4, 7), (1,), (0, 2)),
        ((2, 3), (4, 6), (1,), None),
        ((2, 3), (1, 3), (), None),
        ((2,), (2, 3), (), None),
        ((), (), (), ()),
    ],
)
def test_slices_have_one_place(part, whole, centred, starts):
    found = place_slice(part, whole, centred)
    assert (None if found is None else tuple(s.start for s in found)) == starts
    assert found is None or tuple(s.stop - s.start for s in found) == part


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_convolution_computes_with_its_slice(depthwise):
    torch.manual_seed(0)
    outputs, groups = (4, 4) if depthwise else (6, 1)
    layer = SlicedConv2d(4, outputs, 5, stride=2, padding=4, dilation=2, groups=groups)
    x, plain = torch.randn(2, 4, 9, 9), nn.Conv2d
    assert torch.equal(layer(x), plain.forward(layer, x))
    rows = 2 if depthwise else 3
    small = plain(2, rows, 3, stride=2, padding=2, dilation=2, groups=2 if depthwise else 1)
    small.load_state_dict(
        {"weight": layer.weight[:rows, : 1 if depthwise else 2, 1:4, 1:4], "bias": layer.bias[:rows]}
    )
    assert torch.equal(layer(x[:, :2], rows, kernel=3), small(x[:, :2]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kernel_size": 3, "groups": 2}, "groups=2 for 4 channels in and 6 out"),
        ({"kernel_size": (3, 5)}, r"a kernel of \(3, 5\) is not square"),
        ({"kernel_size": 3, "padding": "same"}, "padding='same'"),
        ({"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, "padding_mode='reflect'"),
    ],
)
def test_convolutions_that_cannot_be_sliced_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        SlicedConv2d(4, 6, **options)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_batch_norm_moves_the_statistics_of_its_slice(momentum):
    torch.manual_seed(0)
    whole, part = SlicedBatchNorm2d(5, momentum=momentum), nn.BatchNorm2d(3, momentum=momentum)
    for norm in (whole, part):
        nn.init.constant_(norm.weight, 2.0)
    for _ in range(2):
        x = torch.randn(4, 3, 6, 6)
        assert torch.equal(whole(x), part(x))
    assert torch.equal(whole.running_mean[:3], part.running_mean)
    assert torch.equal(whole.running_var[:3], part.running_var)
    assert whole.running_mean[3:].eq(0).all()
    assert whole.running_var[3:].eq(1).all()
    x = torch.randn(4, 3, 6, 6)
    assert torch.equal(whole.eval()(x), part.eval()(x))
    bare = SlicedBatchNorm2d(5, affine=False, track_running_stats=False).eval()
    assert torch.equal(bare(x), nn.BatchNorm2d(3, affine=False, track_running_stats=False)(x))


@pytest.mark.parametrize("outside", [{"k": 2}, {"kind": "edge"}, {"optional": 1}])
def test_an_elastic_choice_picks_one_slice(outside):
    with pytest.raises(ArchError, match="'width': an elastic choice picks one slice"):
        Choice("width", ("2", "3"), elastic=True, **outside)


def test_a_channel_weighs_what_the_options_that_have_it_weigh():
    like, width = torch.zeros(1), Width(WIDTH, int)
    assert width.under({"width": 1}, like) == Extent(3)
    assert width.under({"width": Picked(0, torch.tensor(0.5))}, like) == Extent(2, torch.tensor(0.5))
    size, mask = width.under({"width": torch.tensor([0.25, 0.5, 2.0])}, like)
    assert (size, mask.tolist()) == (5, [2.75, 2.75, 2.5, 2.0, 2.0])
    assert width.under(None, like).weight.tolist() == [3, 3, 2, 1, 1]
    assert Width(WIDTH, int, Arch({"width": "3"})).under(None, like) == Extent(3)


def test_a_masked_norm_is_the_norm_of_the_slice():
    torch.manual_seed(0)
    norm, x = SlicedLayerNorm(5).double(), torch.randn(4, 5).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    masked = norm(x, Extent(5, torch.tensor([1, 1, 1, 0, 0], dtype=torch.float64)))
    expected = F.layer_norm(x[:, :3], (3,), norm.weight[:3], norm.bias[:3])
    assert torch.allclose(masked[:, :3], expected, rtol=0, atol=1e-12)
    assert masked[:, 3:].eq(0).all()
    assert torch.equal(norm(x[:, :3]), expected)


def test_a_slice_has_memory_of_its_own():
    whole = torch.arange(12.0).view(3, 4)
    assert cut(whole, 3, 4) is whole
    assert cut(whole, 2, 3).is_contiguous()
    assert cut(whole, 2, 3).tolist() == [[0, 1, 2], [4, 5, 6]]


def test_drop_path_drops_images_of_any_shape():
    torch.manual_seed(0)
    drop = DropPath()
    drop.rate = 0.5
    rows = drop(torch.ones(64, 3, 2)).flatten(1)
    assert set(rows.unique().tolist()) == {0.0, 2.0}
    assert rows.eq(rows[:, :1]).all()
