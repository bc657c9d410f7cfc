"""Measure images per second: batched augmentation in memory against torchvision's per-image transforms.

    python benchmarks/images.py [--device cpu] [--images 10000] [--batch-size 64] [--threads 2]

Both sides crop (padding 4), mirror and normalise images of 32 x 32 pixels; the per-image side uses PIL and a
loader with two processes, as the published code of DARTS and CDARTS does. On a busy machine, compare the last
column, which counts processor time of all processes.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from nasforge.component import Context
from nasforge.image_config import ImageConfig
from nasforge.images import ImageSet, InMemoryImages
from nasforge.runtime import Runtime

MEAN, STD = (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)


def random_images(count: int) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 32, 32, 3), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 10
    names = tuple(map(str, range(10)))
    return ImageSet(images, labels, images[:100], labels[:100], names, mean=MEAN, std=STD)


class InMemory(InMemoryImages[ImageConfig]):
    images: ImageSet

    def load(self) -> ImageSet:
        return self.images


class PerImage(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, images: ImageSet) -> None:
        self.images = images.train_images.numpy()
        self.labels = images.train_labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[position])), self.labels[position]


def rate(
    name: str, epoch: Callable[[int], Iterable[tuple[torch.Tensor, torch.Tensor]]], repeats: int
) -> float:
    best = best_cpu = 0.0
    for number in range(repeats + 1):  # the first pass warms up
        start, cpu = time.perf_counter(), sum(os.times()[:4])
        count = sum(labels.numel() for _, labels in epoch(number))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number:
            best = max(best, count / (time.perf_counter() - start))
            best_cpu = max(best_cpu, count / (sum(os.times()[:4]) - cpu))
    print(f"{name:36} {best:10,.0f} images/s {best_cpu:10,.0f} images per CPU second")
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, runtime = random_images(options.images), Runtime.create(options.device)

    data = InMemory(ImageConfig(batch_size=options.batch_size))
    data.images = images
    data.setup(Context(None, runtime, 0, "train", None, None))  # type: ignore[arg-type]
    loader = DataLoader(PerImage(images), options.batch_size, shuffle=True, num_workers=2)

    print(
        f"{options.images:,} images, batch {options.batch_size}, {runtime.device}, threads {options.threads}"
    )
    fast = rate("in memory, augmented", lambda e: data.batches("full", epoch=e), options.repeats)
    rate("in memory, plain", lambda e: data.batches("full", augment=False), options.repeats)
    slow = rate("torchvision per image, 2 processes", lambda e: loader, options.repeats)
    print(f"{'augmented, ratio':36} {fast / slow:10,.1f}")


if __name__ == "__main__":
    main()
