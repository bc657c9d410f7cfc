import pytest
import torch

from nasforge.images import cutout
from nasforge.images.pixels import channel_statistics, crop_and_flip


def test_crop_and_flip_equal_slicing():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 6, 9, 2), generator=generator, dtype=torch.uint8)
    corners = torch.randint(0, 7, (2, 20), generator=generator)
    mirrored = torch.rand(20, generator=generator) < 0.5
    made = crop_and_flip(images, 3, corners, mirrored)
    padded = torch.zeros(20, 12, 15, 2, dtype=torch.uint8)
    padded[:, 3:-3, 3:-3] = images
    for i in range(20):
        top, left = corners[:, i].tolist()
        expected = padded[i, top : top + 6, left : left + 9]
        assert torch.equal(made[i], expected.flip(1) if mirrored[i] else expected)


@pytest.mark.parametrize("size", [1, 4, 5, 40])
def test_cutout_zeros_one_clipped_square(size):
    made = cutout(torch.ones(200, 3, 10, 12), size, torch.Generator().manual_seed(1))
    for image in made:
        rows, columns = (image[0] == 0).nonzero(as_tuple=True)
        height, width = (int(i.max() - i.min()) + 1 for i in (rows, columns))
        assert len(rows) == height * width  # a full rectangle
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])
        if rows.min() > 0 and rows.max() < 9:
            assert height == size
        if columns.min() > 0 and columns.max() < 11:
            assert width == size


def test_cutout_squares_are_centred_at_every_pixel():
    made = cutout(torch.ones(3000, 1, 5, 5), 1, torch.Generator().manual_seed(1))
    share = (made == 0).float().mean((0, 1))
    assert torch.allclose(share, torch.full((5, 5), 1 / 25), atol=0.015)


def test_cutout_of_16_reaches_from_8_before_to_7_behind_its_centre():
    made = cutout(torch.ones(500, 1, 32, 32), 16, torch.Generator().manual_seed(1))
    areas = set((made == 0).flatten(1).sum(1).tolist())
    assert max(areas) == 256
    assert min(areas) == 64  # at the corner (0, 0), 8 rows and columns are left


def test_cutout_keeps_layout_type_and_input_and_uses_its_generator():
    images = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    before, state = images.clone(), torch.get_rng_state()
    made = cutout(images, 4, torch.Generator().manual_seed(1))
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    assert torch.equal(made, cutout(images, 4, torch.Generator().manual_seed(1)))
    assert torch.equal(torch.get_rng_state(), state)
    assert cutout(images.bfloat16(), 4, torch.Generator()).dtype == torch.bfloat16


def test_channel_statistics_equal_those_of_floats():
    images = torch.randint(0, 256, (3000, 4, 5, 3), dtype=torch.uint8, generator=torch.Generator())
    mean, std = channel_statistics(images)
    values = images.double().div(255).flatten(0, 2)
    assert torch.allclose(torch.tensor(mean).double(), values.mean(0), atol=1e-6)
    assert torch.allclose(torch.tensor(std).double(), values.std(0, correction=0), atol=1e-6)
