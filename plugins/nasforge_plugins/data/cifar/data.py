"""CIFAR-10 and CIFAR-100 from their published binary archives."""

from __future__ import annotations

import os
from pathlib import Path

from nasforge.images import ImageSet, InMemoryImages
from nasforge.space import Task
from nasforge_plugins.data.cifar.archive import CIFAR10, CIFAR100, Archive, fetch, read
from nasforge_plugins.data.cifar.config import CifarConfig

__all__ = ["Cifar10", "Cifar100"]

# The numbers of DARTS, CDARTS and their successors, which use them for CIFAR-100 too.
MEAN = (0.49139968, 0.48215827, 0.44653124)
STD = (0.24703233, 0.24348505, 0.26158768)


class Cifar10(InMemoryImages[CifarConfig]):
    """CIFAR-10 (A. Krizhevsky, 2009) in its published order."""

    archive: Archive = CIFAR10

    def expected_task(self) -> Task:
        """Return the published size, or that of the options."""
        return Task(3, self.config.image_size or 32, self.archive.num_classes)

    def load(self) -> ImageSet:
        """Download the archive if it is missing, check it, and read it.

        Raises:
            DataError: There is no archive and no network, or the file is damaged.
        """
        root = self.config.root or Path(os.environ.get("NASFORGE_DATA") or Path.home() / ".cache/nasforge")
        return ImageSet(*read(self.archive, fetch(self.archive, root)), mean=MEAN, std=STD)


class Cifar100(Cifar10):
    """CIFAR-100 (A. Krizhevsky, 2009) with its 100 fine classes."""

    archive = CIFAR100
