"""Scikit-learn's 1,797 handwritten digits as a small image data set."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from nasforge.images import ImageSet, InMemoryImages
from nasforge.images.splits import balanced_order
from nasforge.space import Task
from nasforge_plugins.data.digits.config import DigitsConfig

__all__ = ["Digits"]

TEST_IMAGES = 360
"""About 20 %: 35 to 37 images of every digit."""


class Digits(InMemoryImages[DigitsConfig]):
    """Handwritten digits, 8 x 8 pixels in 17 grey levels, as RGB images of any size.

    The data set (E. Alpaydin and C. Kaynak, 1998, UCI repository; its test part) has no official division:
    the test split is a class-balanced fifth, the same for every seed.
    """

    def expected_task(self) -> Task:
        """Return ten classes, at the size of the options."""
        return Task(3, self.config.image_size or 8, 10)

    def load(self) -> ImageSet:
        """Read the digits from the installed scikit-learn."""
        bundled = load_digits()
        # Grey levels 0 to 16.
        grey = torch.as_tensor(bundled.images, dtype=torch.float32).mul(255 / 16).round().to(torch.uint8)
        images = grey[..., None].expand(-1, -1, -1, 3).contiguous()
        labels = torch.as_tensor(bundled.target, dtype=torch.int64)
        order = balanced_order(labels, seed=0)
        test, train = order[:TEST_IMAGES].sort().values, order[TEST_IMAGES:].sort().values
        return ImageSet(
            images[train], labels[train], images[test], labels[test], tuple(str(d) for d in range(10))
        )
