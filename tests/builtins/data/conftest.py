import numpy as np
import pytest
import torch
from PIL import Image

from nasforge.component import Context
from nasforge.plugins import Registry
from nasforge.runtime import Runtime


class Loaded:
    """A data plugin, set up as the engine does it with nothing around, and shorthands to look at it."""

    def __init__(self, name, seed=0, **options):
        plugin = Registry.discover().get("data", name)
        self.data = plugin.load()(plugin.config(**options))
        self.data.setup(Context(None, Runtime(torch.device("cpu")), seed, "search", None, None))

    def read(self, split, **arguments):
        """Return all images and labels of one pass."""
        batches = list(self.data.batches(split, **arguments))
        return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])

    def stored(self, split):
        """Return the grey levels ``(N, H, W, C)`` of a plain pass, and the labels."""
        images, labels = self.read(split, augment=False)
        how = self.data.preprocessing
        std, mean = (torch.tensor(values).view(-1, 1, 1) for values in (how.deviation, how.mean))
        return ((images * std + mean) * 255).round().to(torch.uint8).permute(0, 2, 3, 1), labels


@pytest.fixture
def loaded():
    return Loaded


@pytest.fixture
def image_tree(tmp_path):
    """Write flat images ``root/<part>/<class>/<n>.png``: red tells the class, green the number."""

    def write(name="images", *, parts=("train", "test"), classes=("ant", "bee"), count=4, size=(6, 6)):
        root = tmp_path / name
        for part in parts:
            for label, word in enumerate(classes):
                folder = root / part / word
                folder.mkdir(parents=True)
                for number in range(count):
                    Image.new("RGB", size, (100 * label, number, 50)).save(folder / f"{number}.png")
        return root

    return write


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "downloads"))


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("val", 3)):
        for word in ("n01", "n02"):
            folder = tmp_path / part / word
            folder.mkdir(parents=True)
            for number in range(count):
                size = rng.integers(12, 24, 2)
                pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.JPEG")
    return tmp_path
