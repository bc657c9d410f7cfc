"""Folders of small images of noise in two classes, for benchmarks that read images."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_images(root: Path, train: int, test: int) -> None:
    """Write ``root/<part>/<class>/<n>.png``, 8 pixels wide, the same in every run."""
    draw = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        for label in ("a", "b"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
