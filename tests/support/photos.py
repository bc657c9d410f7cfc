"""Photos as users have them: odd sizes, EXIF orientation, grayscale, transparency, and a broken file."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (60, 80, 190), "green": (70, 160, 80), "red": (190, 80, 60)}
ORIENTATION = 0x0112


def write_photos(
    root: Path, *, train: int = 8, test: int = 5, seed: int = 0, side: tuple[int, int] = (9, 40)
):
    """Write ``root/train/<colour>/`` and ``root/test/<colour>/``; the colours overlap, so some are hard.

    Of every class the second photo is stored turned with an EXIF orientation, the third is grayscale, and
    the fourth has transparent pixels.
    """
    rng = np.random.default_rng(seed)
    for part, count in (("train", train), ("test", test)):
        for name, colour in COLOURS.items():
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = rng.integers(*side, 2)
                mean = np.array(colour) + rng.normal(0, 60, 3)
                pixels = mean + rng.normal(0, 30, (height, width, 3))
                _save(folder, number, Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), rng)
    return root


def _save(folder: Path, number: int, image: Image.Image, rng: np.random.Generator) -> None:
    if number == 1:
        exif = Image.Exif()
        exif[ORIENTATION] = int(rng.integers(2, 9))
        image.save(folder / "1.jpg", exif=exif)
    elif number == 2:
        image.convert("L").save(folder / "2.png")
    elif number == 3:
        alpha = rng.integers(0, 256, (image.height, image.width), dtype=np.uint8)
        image.putalpha(Image.fromarray(alpha))
        image.save(folder / "3.png")
    else:
        image.save(folder / f"{number}.jpg", quality=92)


def break_file(path: Path) -> None:
    """Cut an image file off in the middle, as a failed download leaves it."""
    path.write_bytes(path.read_bytes()[:-40])
