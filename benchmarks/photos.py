"""Measure how fast photos of ImageNet's usual size are read in training passes, by option.

    python -m benchmarks.photos [--count 192] [--repeats 3] [--threads 1]

Photos are drawn: smooth colours with noise, as JPEG of 500 x 375 pixels. Everything is read in one process,
crops of 224 pixels, on the CPU. Rates are per second of processor time, so that a busy machine tells the
same; the row `torchvision` has its transforms on bytes, `v2.ColorJitter` among them.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from nasforge.component import Context
from nasforge.images import Preprocessing
from nasforge.runtime import Runtime
from nasforge_plugins.data.imagenet.config import ImagenetConfig
from nasforge_plugins.data.imagenet.data import Imagenet


def draw_photos(root: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for part, number in (("train", count), ("val", 2)):
        for index in range(number):
            folder = root / part / ("n01", "n02")[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375))
            noise = rng.normal(0, 8, (375, 500, 3))
            pixels = (np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.JPEG", quality=90)


def make(root: Path, **options: Any) -> Imagenet:
    data = Imagenet(ImagenetConfig(root=root, batch_size=32, workers=0, **options))
    data.setup(Context(None, Runtime(torch.device("cpu")), 0, "search", None, None))  # type: ignore[arg-type]
    return data


def read_with_torchvision(data: Imagenet) -> Iterator[Any]:
    config, preprocessing = data.config, data.preprocessing
    jitter = config.color_jitter
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(config.image_size, scale=(config.min_crop_share, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(jitter, jitter, jitter, config.hue_jitter),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(config.mean, config.std),
        ]
    )
    for file in sorted((config.root / "train").rglob("*.JPEG")):
        yield transform(Preprocessing.decode(preprocessing, file))


def rate(read: Callable[[int], Any], count: int, repeats: int) -> float:
    best = 0.0
    for epoch in range(repeats + 1):  # the first pass warms up, and makes what is kept
        started = time.process_time()
        for _ in read(epoch):
            pass
        if epoch:
            best = max(best, count / (time.process_time() - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NASFORGE_CACHE"] = f"{folder}/cache"
        root = Path(folder) / "photos"
        draw_photos(root, options.count)
        whole = make(root)
        ways: dict[str, Callable[[int], Any]] = {"torchvision": lambda epoch: read_with_torchvision(whole)}
        for name, changed in (
            ("imagenet", {}),
            ("without jitter (as where a GPU computes it)", {"color_jitter": 0, "hue_jitter": 0}),
            ("cached_side = 256", {"cached_side": 256}),
            ("both", {"cached_side": 256, "color_jitter": 0, "hue_jitter": 0}),
        ):
            data = make(root, **changed)
            ways[name] = lambda epoch, data=data: data.batches("full", epoch=epoch)
        print("| Way | photos per second of processor time |\n|---|---:|")
        for name, read in ways.items():
            print(f"| {name} | {rate(read, options.count, options.repeats):.0f} |")


if __name__ == "__main__":
    main()
