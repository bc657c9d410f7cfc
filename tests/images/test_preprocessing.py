"""`Preprocessing` against a plain writing of its formula, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from nasforge.errors import DataError, ImageError
from nasforge.images import Preprocessing

COLOUR = Preprocessing(size=(8, 10), channels="rgb", mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.25, 0.3))


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_apply_is_the_usual_formula():
    images = noise(4, 3, 8, 10)
    mean, deviation = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (COLOUR.mean, COLOUR.deviation)
    )
    expected = (images.double() / 255 - mean) / deviation
    found = COLOUR.apply(images)
    assert found.dtype == torch.float32
    assert (found.double() - expected).abs().max() <= 1e-6


def test_apply_has_the_same_bits_alone_in_a_batch_and_at_another_width():
    images = noise(4, 3, 8, 10)
    together = COLOUR.apply(images)
    for image, expected in zip(images, together, strict=True):
        assert torch.equal(COLOUR.apply(image[None])[0], expected)
    assert torch.equal(COLOUR.apply(images[..., :7]), together[..., :7])


def test_read_takes_files_pillow_images_and_bytes(tmp_path):
    pixels = noise(3, 20, 31)
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    image.save(tmp_path / "a.png")
    found = COLOUR.read(tmp_path / "a.png")
    assert found.shape == (3, 8, 10)
    for source in (str(tmp_path / "a.png"), image, pixels):
        assert torch.equal(COLOUR.read(source), found)


@pytest.mark.parametrize("rule", ["crop", "fit", "stretch"])
def test_json_round_trip(rule):
    for one in (
        replace(COLOUR, resize=rule, background=(1, 2, 3), exif=False),
        replace(COLOUR, shorter_side=20),
        Preprocessing(size=(4, 4), channels="gray", mean=(0.1,), deviation=(0.2,), background=(7,)),
    ):
        assert Preprocessing.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resize": "squeeze"}, "'squeeze'"),
        ({"channels": "bgr"}, "'bgr'"),
        ({"mean": (0.5,)}, "1 means, 3 deviations"),
        ({"background": (0,)}, "background of 1 values"),
        ({"channels": "gray"}, "for channels 'gray'"),
    ],
)
def test_descriptions_that_contradict_themselves_are_refused(changes, words):
    with pytest.raises(DataError, match=words):
        replace(COLOUR, **changes)


@pytest.mark.parametrize("change", [{"gamma": 1}, {"size": None}])
def test_descriptions_of_other_versions_are_refused(change):
    data = COLOUR.to_json() | change
    data = {k: v for k, v in data.items() if v is not None or k == "shorter_side"}
    with pytest.raises(DataError, match=r"preprocessing: '(gamma|size)' is missing or unknown"):
        Preprocessing.from_json(data)


@pytest.mark.parametrize("image", [torch.zeros(3, 8, 8), noise(1, 8, 8), noise(2, 3, 8, 8)])
def test_tensors_of_another_kind_are_refused(image):
    with pytest.raises(DataError, match=r"Give uint8 of shape \(3, height, width\)"):
        COLOUR.read(image)


@pytest.mark.parametrize("image", [np.zeros((8, 8, 3), np.uint8), b"bytes", 7, None])
def test_other_types_are_refused(image):
    name = type(image).__name__
    with pytest.raises(
        DataError, match=rf"got an object of type '{name}'. Give a file, .*PIL.Image.fromarray"
    ):
        COLOUR.read(image)


def test_files_are_read_upright_unless_said_otherwise(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((8, 10, 3), np.uint8)
    stored[0] = 255  # the upper row, which is the right column of the photo
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = replace(COLOUR, size=(10, 8)).read(tmp_path / "a.png")
    assert (upright[:, :, -1] == 255).all()
    assert (replace(COLOUR, exif=False).read(tmp_path / "a.png")[:, 0] == 255).all()
    with pytest.raises(ImageError, match=r"none\.png"):
        COLOUR.read(tmp_path / "none.png")
