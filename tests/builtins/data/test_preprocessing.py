"""Every data plugin describes its plain images: files prepared by the description are what a pass gives."""

import numpy as np
import pytest
import torch
from PIL import Image

from support.photos import write_photos

RULES = [{}, {"resize": "fit", "background": (0, 99, 200)}, {"resize": "stretch"}]


def prepared(data, files):
    described = data.preprocessing
    return described.apply(torch.stack([described.read(file) for file in files]))


@pytest.mark.parametrize("options", [*RULES, {"mean": (0.3, 0.4, 0.5)}, {"channels": "gray"}])
def test_image_folder(loaded, tmp_path, options):
    root = write_photos(tmp_path / "photos")
    made = loaded("image-folder", root=root, image_size=12, **options)
    assert made.data.class_names == ("blue", "green", "red")
    for part, split in (("test", "test"), ("train", "full")):
        files = sorted((root / part).rglob("*.*"))
        assert torch.equal(prepared(made.data, files), made.read(split, augment=False)[0])


@pytest.mark.parametrize("options", [*RULES, {"resize_size": 20}, {"std": (0.5, 0.5, 0.5)}])
def test_imagenet(loaded, tmp_path, options):
    root = write_photos(tmp_path / "photos")
    (root / "test").rename(root / "val")
    made = loaded("imagenet", root=root, **({"image_size": 12, "resize_size": 14, "workers": 0} | options))
    files = sorted((root / "val").rglob("*.*"))
    assert torch.equal(prepared(made.data, files), made.read("test", augment=False)[0])


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
@pytest.mark.parametrize("options", RULES)
def test_npz_reads_files_as_its_arrays(loaded, tmp_path, mode, channels, options):
    rng = np.random.default_rng(0)
    shape = (9, 14) if channels == 1 else (9, 14, 3)
    arrays = {
        f"x_{p}": rng.integers(0, 256, (n, *shape), dtype=np.uint8) for p, n in (("train", 12), ("test", 6))
    }
    labels = {"y_train": np.arange(12) % 2, "y_test": np.arange(6) % 2}
    np.savez(tmp_path / "a.npz", **arrays, **labels, classes=np.array(["cat", "dog"]))
    made = loaded("npz", path=tmp_path / "a.npz", image_size=8, **options)
    assert made.data.class_names == ("cat", "dog")
    files = []
    for number, pixels in enumerate(arrays["x_test"]):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels, mode).save(files[-1])
    assert torch.equal(prepared(made.data, files), made.read("test", augment=False)[0])


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_bundled_data(loaded, name, tmp_path):
    made = loaded(name, image_size=16)
    images, labels = made.stored("test")
    assert set(labels.tolist()) == set(range(len(made.data.class_names)))
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for file, image in zip(files, images, strict=False):
        Image.fromarray(image.numpy()).save(file)
    assert torch.equal(prepared(made.data, files), made.read("test", augment=False)[0][:5])


def test_classes_of_the_digits_are_the_digits(loaded):
    assert loaded("digits").data.class_names == tuple("0123456789")
