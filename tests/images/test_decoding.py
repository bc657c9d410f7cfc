"""Decoding: orientation, transparency, depth, and files that are damaged."""

import numpy as np
import pytest
import torch
from PIL import Image

from nasforge.errors import ImageError
from nasforge.images import decoding
from nasforge.images.broken import SHOWN, find_broken, list_broken
from nasforge.images.decoding import convert, decode

ORIENTATION = 0x0112
# Row 0 and column 0 of the stored pixels lie, seen by a viewer (EXIF 2.32, tag 0x0112): written with numpy.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.transpose(1, 0, 2),  # left, top
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],  # right, top
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda a: a.transpose(1, 0, 2)[::-1],  # left, bottom
}


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photos_are_turned_upright(tmp_path, orientation):
    pixels, exif = noise(5, 8, 3), Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(decode(tmp_path / "a.png", "x"), UPRIGHT[orientation](pixels))
    assert np.array_equal(decode(tmp_path / "a.png", "x", upright=False), pixels)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_without_meaning_turns_nothing(tmp_path, value):
    pixels, exif = noise(5, 8, 3), Image.Exif()
    exif[ORIENTATION] = value
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(decode(tmp_path / "a.png", "x"), pixels)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_does_not_hide_the_pixels(tmp_path):
    Image.fromarray(noise(6, 6, 3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\xff")
    plain = tmp_path / "b.jpg"
    Image.fromarray(noise(6, 6, 3)).save(plain)
    assert np.array_equal(decode(tmp_path / "a.jpg", "x"), decode(plain, "x"))


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 30)])
def test_transparent_pixels_are_composed_on_the_background(tmp_path, background):
    rgba = noise(7, 9, 4)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    share = rgba[..., 3:].astype(float) / 255
    expected = rgba[..., :3] * share + np.array(background) * (1 - share)
    found = decode(tmp_path / "a.png", "x", background=background).astype(float)
    assert np.abs(found - expected).max() <= 1


def test_gray_with_alpha_and_palettes_with_a_transparent_entry(tmp_path):
    Image.fromarray(np.dstack([np.full((4, 4), 50), np.zeros((4, 4))]).astype(np.uint8), "LA").save(
        tmp_path / "la.png"
    )
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.save(tmp_path / "p.png", transparency=1)
    for name in ("la", "p"):
        assert (decode(tmp_path / f"{name}.png", "x", background=(1, 2, 3)) == [1, 2, 3]).all()
    assert (decode(tmp_path / "la.png", "x", "gray", (9,)) == 9).all()


def test_gray_images_keep_their_values(tmp_path):
    gray = noise(5, 6)
    Image.fromarray(gray).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", "x"), np.repeat(gray[..., None], 3, 2))
    assert np.array_equal(decode(tmp_path / "a.png", "x", "gray"), gray[..., None])
    colour = noise(5, 6, 3)
    luma = colour.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(convert(Image.fromarray(colour), "gray")[..., 0] - luma).max() <= 1


def test_sixteen_bits_keep_their_contrast(tmp_path):
    deep = np.linspace(0, 65535, 30).astype(np.uint16).reshape(5, 6)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", "x", "gray")[..., 0], (deep // 256).astype(np.uint8))


def test_cmyk_photos_are_read(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = decode(tmp_path / "a.jpg", "x")[4, 4].tolist()
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("content", [b"", b"no image", "cut", "missing", "floats"])
def test_a_file_that_cannot_be_read_is_named_with_its_reason(tmp_path, content):
    path = tmp_path / "a.png"
    if content == "cut":
        Image.fromarray(noise(30, 30, 3)).save(path)
        path.write_bytes(path.read_bytes()[:-200])
    elif content == "floats":
        path = tmp_path / "a.tiff"
        Image.fromarray(np.ones((4, 4), np.float32)).save(path)
    elif content != "missing":
        path.write_bytes(content)
    with pytest.raises(
        ImageError, match=rf"^data.root: image '{path}' cannot be read \(.+\). Replace it"
    ) as error:
        decode(path, "data.root")
    assert error.value.reason in str(error.value)


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    Image.new("L", (300, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="decompression bomb"):
        decode(tmp_path / "a.png", "x")


def test_a_closed_or_truncated_pillow_image_is_an_error(tmp_path):
    Image.fromarray(noise(30, 30, 3)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-200])
    with Image.open(tmp_path / "a.png") as image, pytest.raises(ImageError, match=r"a.png' cannot be read"):
        convert(image)


def test_broken_files_are_found_in_order_and_listed(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(SHOWN + 10)]
    for number, file in enumerate(files):
        file.write_bytes(b"") if number else Image.new("L", (2, 2)).save(file)
    broken = find_broken(files, threads=3)
    assert list(broken) == files[1:]
    lines = list_broken("data.root", broken, len(files)).splitlines()
    assert lines[0] == f"data.root: {SHOWN + 9} of {SHOWN + 10} images cannot be read:"
    assert lines[1].startswith(f"  - '{files[1]}': ")
    assert lines[-2:] == ["  - and 9 more", "Replace or remove them."]
    assert find_broken(files[:1]) == {}


def test_decoded_images_may_be_written_to():
    for image in (Image.new("RGB", (3, 3)), Image.new("L", (3, 3))):
        torch.from_numpy(convert(image)).add_(1)


@pytest.mark.parametrize("error", [MemoryError("no memory"), TypeError("a bug"), AttributeError("a bug")])
def test_a_bug_or_too_little_memory_is_not_worded_as_a_broken_image(tmp_path, monkeypatch, error):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def fail(*_):
        raise error

    monkeypatch.setattr(decoding, "_converted", fail)
    with pytest.raises(type(error), match=str(error)):
        decode(tmp_path / "a.png", "data.root")
    with pytest.raises(type(error), match=str(error)):
        convert(Image.new("RGB", (4, 4)))


def test_a_photo_that_needs_too_much_memory_is_not_called_broken(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(MemoryError):
        decode(tmp_path / "a.png", "data.root")
