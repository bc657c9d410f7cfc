"""Colour jitter of batches against torchvision's, image by image."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from nasforge_plugins.data.imagenet.config import ImagenetConfig
from nasforge_plugins.data.imagenet.jitter import draw_jitter, jitter
from nasforge_plugins.data.imagenet.photos import PhotoAugmentation


def test_jitter_is_that_of_torchvision_on_float_images():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 12, 10), dtype=torch.uint8)
    images[0], images[1, :, :4] = 77, 0  # without hue, and black
    images[2, 1] = images[2, 0]  # two channels share the maximum
    draws = torch.stack([draw_jitter(0.4, 0.2) for _ in images])
    assert len(draws[:, :4].unique(dim=0)) > 12
    functions = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    found = jitter(images, draws)
    for image, drawn, result in zip(images, draws, found, strict=True):
        expected = image.float() / 255
        for number in drawn[:4].long().tolist():
            expected = functions[number](expected, drawn[4 + number].item())
        assert (result.float() - 255 * expected).abs().max() < 0.501
    for number in range(len(images)):  # alone as in the batch
        assert torch.equal(jitter(images[[number]], draws[[number]])[0], found[number])


def test_jitter_is_drawn_as_by_torchvision():
    for color, hue in ((0.4, 0.2), (1.5, 0.0), (0.0, 0.1)):
        torch.manual_seed(3)
        drawn = draw_jitter(color, hue)
        torch.manual_seed(3)
        params = v2.ColorJitter(color, color, color, hue).make_params([])
        assert drawn[:4].tolist() == params["fn_idx"].tolist()
        names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
        expected = [params[name] for name in names]
        neutral = [1.0, 1.0, 1.0, 0.0]
        expected = [n if e is None else e for e, n in zip(expected, neutral, strict=True)]
        assert drawn[4:].tolist() == pytest.approx(expected)


def test_jitter_left_to_a_device_is_the_same():
    config = ImagenetConfig(root="photos", image_size=8)
    image = torch.randint(0, 256, (3, 20, 16), dtype=torch.uint8)
    torch.manual_seed(1)
    here, nothing = PhotoAugmentation(config, jitters=True)(image)
    torch.manual_seed(1)
    plain, draws = PhotoAugmentation(config, jitters=False)(image)
    assert nothing is None
    assert not torch.equal(plain, here)
    assert torch.equal(jitter(plain[None], draws[None])[0], here)
