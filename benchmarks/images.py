"""Measure images per second: batched augmentation in memory against torchvision's per-image transforms.

    python -m benchmarks --rows images [--device cpu] [--threads 2]

Both sides crop (padding 4), mirror and normalise images of 32 x 32 pixels; the per-image side uses PIL and a
loader with two processes, as the published code of DARTS and CDARTS does. On a busy machine, compare the last
column, which counts processor time of all processes.
"""

import os
import time
from collections.abc import Callable, Iterable

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from nasforge.component import Context
from nasforge.images import ImageSet, InMemoryImages
from nasforge.images.config import ImageConfig
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
    epoch: Callable[[int], Iterable[tuple[torch.Tensor, torch.Tensor]]], repeats: int
) -> dict[str, float]:
    """Return the best of some passes, by the clock and by processor time of all processes."""
    best = best_processor = 0.0
    for number in range(repeats + 1):  # the first pass warms up
        start, processor = time.perf_counter(), sum(os.times()[:4])
        count = sum(labels.numel() for _, labels in epoch(number))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number:
            best = max(best, count / (time.perf_counter() - start))
            # The clock of processor time ticks a hundred times a second.
            best_processor = max(best_processor, count / max(0.01, sum(os.times()[:4]) - processor))
    return {"images_per_second": best, "per_processor_second": best_processor}


def compare(device: str, count: int, batch_size: int, repeats: int) -> dict[str, dict[str, float]]:
    """Read ``count`` random images in every way; return the rates by name."""
    images, runtime = random_images(count), Runtime.create(device)
    data = InMemory(ImageConfig.model_validate({"batch_size": batch_size}))
    data.images = images
    data.setup(Context(None, runtime, 0, "train", None, None))  # type: ignore[arg-type]
    loader = DataLoader(PerImage(images), batch_size, shuffle=True, num_workers=2)
    return {
        "in memory, augmented": rate(lambda epoch: data.batches("full", epoch=epoch), repeats),
        "in memory, plain": rate(lambda epoch: data.batches("full", augment=False), repeats),
        "torchvision per image, 2 processes": rate(lambda epoch: loader, repeats),
    }
