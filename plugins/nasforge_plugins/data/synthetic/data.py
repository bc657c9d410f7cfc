"""Made-up images: every class has a pattern, every image its own brightness and noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nasforge.images import ImageSet, InMemoryImages
from nasforge.seeding import derive_seed
from nasforge.space import Task
from nasforge_plugins.data.synthetic.config import SyntheticConfig

__all__ = ["Synthetic"]

PATTERN = 4
"""Side of the coarse patterns: coarse enough to survive a random crop."""


class Synthetic(InMemoryImages[SyntheticConfig]):
    """Images of coarse random patterns, one per class, with brightness and noise of their own."""

    def expected_task(self) -> Task:
        """Return what the options say."""
        return Task(self.config.in_channels, self.config.image_size, self.config.num_classes)

    def load(self) -> ImageSet:
        """Draw the images; a pure function of the options."""
        config = self.config
        patterns = torch.randn(
            config.num_classes, config.in_channels, PATTERN, PATTERN, generator=self._generator("patterns")
        )
        patterns = F.interpolate(
            patterns, (config.image_size, config.image_size), mode="bilinear", align_corners=True
        ).permute(0, 2, 3, 1)
        classes = tuple(f"class{i}" for i in range(config.num_classes))
        return ImageSet(
            *self._draw("train", config.train_images, patterns),
            *self._draw("test", config.test_images, patterns),
            classes,
        )

    def _generator(self, what: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.config.data_seed, "synthetic", what))

    def _draw(self, what: str, count: int, patterns: Tensor) -> tuple[Tensor, Tensor]:
        generator = self._generator(what)
        labels = torch.arange(count) % len(patterns)
        brightness = torch.randn(count, 1, 1, 1, generator=generator)
        noise = torch.randn(count, *patterns.shape[1:], generator=generator)
        values = patterns[labels] + 0.25 * brightness + self.config.noise * noise
        return values.mul(40).add(128).round().clamp(0, 255).to(torch.uint8), labels
