"""The images: how they are read, or here, drawn."""

import math

import torch
from torch import Tensor

from nasforge.images import ImageSet, InMemoryImages
from nasforge.plugins.templates.data.config import TemplateDataConfig
from nasforge.seeding import derive_seed

__all__ = ["TemplateData"]

CLASSES = ("flat", "rising", "upright", "falling")
"""Directions of the stripes, in steps of 45 degrees."""


class TemplateData(InMemoryImages[TemplateDataConfig]):
    """Stripes of random width and place, in noise; the class is their direction.

    `InMemoryImages` does the rest: splits by role, shuffling, augmentation, normalisation.
    """

    def load(self) -> ImageSet:
        """Return all images as bytes ``(N, S, S, 3)`` with their labels ``(N,)``."""
        config = self.config
        side = config.image_size or 32
        train = draw(config.train_images, side, derive_seed(0, "stripes", "train"))
        return ImageSet(*train, *draw(config.test_images, side, derive_seed(0, "stripes", "test")), CLASSES)


def draw(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw images ``(count, side, side, 3)`` and labels ``(count,)``; the classes take turns."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(CLASSES)
    angle = (labels * (math.pi / 4)).view(-1, 1, 1)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    period = 3 + 3 * torch.rand(count, 1, 1, generator=generator)
    shift = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
    wave = torch.sin((y * torch.cos(angle) + x * torch.sin(angle)) * (2 * math.pi / period) + shift)
    noise = torch.randn(count, side, side, 3, generator=generator)
    pixels = (128 + 60 * wave[..., None] + 30 * noise).round().clamp(0, 255)
    return pixels.to(torch.uint8), labels
