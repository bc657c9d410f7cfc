"""The images: which files they are, and what belongs together."""

from pathlib import Path

import torch
from nasforge.errors import DataError
from nasforge.files import user_folder
from nasforge.images import ImageSet, InMemoryImages
from torch import Tensor

from idx_files.config import IdxFilesDataConfig
from idx_files.idx import IdxError, read_idx

__all__ = ["IdxFilesData"]

NAMES = {
    "images": ("images-idx3-ubyte", "images.idx3-ubyte"),
    "labels": ("labels-idx1-ubyte", "labels.idx1-ubyte"),
}
"""How the files end: published with a hyphen, and with a dot by some who unpack them."""


class IdxFilesData(InMemoryImages[IdxFilesDataConfig]):
    """Grey images in the format of MNIST (LeCun, Cortes and Burges), which many later data sets took over.

    `InMemoryImages` does the rest: splits by role, shuffling, augmentation, normalisation.
    """

    def load(self) -> ImageSet:
        """Read and check the four files.

        Returns:
            Bytes ``(N, H, W, 1)`` and labels ``(N,)``. Labels that start at 1, as in EMNIST "letters", are
            moved to 0.

        Raises:
            DataError: A file is missing or damaged, or images and labels do not belong together.
        """
        images, labels = {}, {}
        for part, prefix in (("train", "train"), ("test", "t10k")):
            images[part] = self._read(prefix, "images", dimensions=3)
            labels[part] = self._read(prefix, "labels", dimensions=1).long()
            if self.config.upright:
                images[part] = images[part].transpose(1, 2)
        first = min((int(values.min()) for values in labels.values() if len(values)), default=0)
        if first == 1:
            labels = {part: values - 1 for part, values in labels.items()}
        found = ImageSet(
            _grey(images["train"]),
            labels["train"],
            _grey(images["test"]),
            labels["test"],
            self._classes(labels),
        )
        found.check(self._where())
        return found

    def _classes(self, labels: dict[str, Tensor]) -> tuple[str, ...]:
        count = max((int(values.max()) + 1 for values in labels.values() if len(values)), default=0)
        if self.config.classes and len(self.config.classes) < count:
            raise DataError(
                f"data.classes: {len(self.config.classes)} name(s) for labels up to {count - 1}. Name all."
            )
        return self.config.classes or tuple(str(label) for label in range(count))

    def _read(self, prefix: str, what: str, dimensions: int) -> Tensor:
        path = self._find(prefix, what)
        try:
            return read_idx(path, dimensions)
        except IdxError as error:
            raise DataError(f"data.root: '{path}' {error}") from None

    def _find(self, prefix: str, what: str) -> Path:
        for start in self._starts(prefix):
            for name in NAMES[what]:
                for path in (self._root / f"{start}-{name}", self._root / f"{start}-{name}.gz"):
                    if path.is_file():
                        return path
        wanted = f"{self._starts(prefix)[0]}-{NAMES[what][0]}"
        raise DataError(
            f"{self._where()}: has no file {wanted!r} or {wanted + '.gz'!r}. Put the four files of the data "
            "set there, or set data.root to their folder."
        )

    def _starts(self, prefix: str) -> tuple[str, ...]:
        """EMNIST calls its files ``emnist-letters-train-…``, and those of the test images ``…-test-…``."""
        subset = self.config.subset
        if not subset:
            return (prefix,)
        return (f"emnist-{subset}-{'test' if prefix == 't10k' else prefix}",)

    @property
    def _root(self) -> Path:
        return self.config.root or user_folder("idx")

    def _where(self) -> str:
        return f"data.root '{self._root}'"


def _grey(images: Tensor) -> Tensor:
    return images.contiguous()[..., None].to(torch.uint8)
