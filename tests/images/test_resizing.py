"""The three rules of resizing, against torchvision and against plain arithmetic."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from nasforge.images import resize

SHAPES = [(30, 20), (20, 30), (17, 17), (64, 9), (5, 40), (8, 8), (7, 3), (1, 50), (500, 375)]


def noise(height, width, channels=3, count=1):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8, generator=generator)


def published(images, *steps):
    """Return what functions of torchvision make of float images, rounded once at the end."""
    planes = images.permute(0, 3, 1, 2).float()
    for step in steps:
        planes = step(planes)
    return planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [8, 16])
def test_crop_is_resize_and_center_crop(shape, size):
    images = noise(*shape)
    expected = published(
        images, lambda x: F.resize(x, [size], antialias=True), lambda x: F.center_crop(x, [size, size])
    )
    assert torch.equal(resize(images, (size, size)), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_crop_with_a_shorter_side_is_that_of_imagenet(shape):
    images = noise(*shape)
    expected = published(
        images, lambda x: F.resize(x, [16], antialias=True), lambda x: F.center_crop(x, [14, 14])
    )
    assert torch.equal(resize(images, (14, 14), shorter_side=16), expected)


def test_a_shorter_side_below_the_size_scales_as_far_as_needed():
    images = noise(30, 20)
    assert torch.equal(resize(images, (14, 14), shorter_side=3), resize(images, (14, 14)))


@pytest.mark.parametrize("shape", SHAPES)
def test_stretch_is_resize_to_both_sides(shape):
    images = noise(*shape)
    expected = published(images, lambda x: F.resize(x, [8, 12], antialias=True))
    assert torch.equal(resize(images, (8, 12), "stretch"), expected)


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((30, 20), (0, 12), (2, 10)),
        ((20, 30), (2, 10), (0, 12)),
        ((12, 12), (0, 12), (0, 12)),
        ((100, 1), (0, 12), (5, 6)),
    ],
)
def test_fit_shows_the_whole_image_on_the_background(shape, rows, columns):
    images = noise(*shape).clamp(max=200)
    found = resize(images, (12, 12), "fit", background=(255, 254, 253))
    inside = torch.zeros(12, 12, dtype=torch.bool)
    inside[rows[0] : rows[1], columns[0] : columns[1]] = True
    is_background = (found[0] == torch.tensor([255, 254, 253])).all(-1)
    assert torch.equal(is_background, ~inside)
    size = [rows[1] - rows[0], columns[1] - columns[0]]
    expected = published(images, lambda x: F.resize(x, size, antialias=True))
    assert torch.equal(found[0][inside].view(*size, 3), expected[0])


def triangles(length, wanted):
    """Weights ``(wanted, length)`` of a linear filter that widens when it shrinks, as Pillow defines it."""
    scale = length / wanted
    support = max(scale, 1.0)
    centres = (torch.arange(wanted, dtype=torch.float64) + 0.5) * scale
    places = torch.arange(length, dtype=torch.float64) + 0.5
    weights = (1 - ((places - centres[:, None]) / support).abs()).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (40, 1), (40, 40), (5, 3)])
@pytest.mark.parametrize("size", [(1, 1), (12, 1), (1, 12), (4, 4), (16, 9)])
def test_scaling_is_a_triangle_filter_along_each_side(channels, shape, size):
    images = noise(*shape, channels, count=2)
    rows, columns = triangles(shape[0], size[0]), triangles(shape[1], size[1])
    expected = torch.einsum("ah,nhwc,bw->nabc", rows, images.double(), columns)
    found = resize(images, size, "stretch").double()
    assert (found - expected).abs().max() <= 0.5 + 1e-3  # half a level by rounding


@pytest.mark.parametrize("rule", ["crop", "fit", "stretch"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_image_has_the_same_result_alone_and_in_a_batch(rule, channels):
    images = noise(23, 31, channels, count=6)
    together = resize(images, (9, 9), rule, background=(3,) * channels)
    assert together.shape == (6, 9, 9, channels)
    assert together.is_contiguous()
    for image, expected in zip(images, together, strict=True):
        assert torch.equal(resize(image[None], (9, 9), rule, background=(3,) * channels)[0], expected)


@pytest.mark.parametrize("rule", ["crop", "fit", "stretch"])
@pytest.mark.parametrize("shape", SHAPES)
def test_flat_images_stay_flat_and_equal_sizes_stay_as_they_are(rule, shape):
    flat = torch.full((2, *shape, 3), 200, dtype=torch.uint8)
    assert resize(flat, (6, 6), rule, background=(200,) * 3).unique().tolist() == [200]
    images = noise(11, 11)
    assert torch.equal(resize(images, (11, 11), rule), images)
