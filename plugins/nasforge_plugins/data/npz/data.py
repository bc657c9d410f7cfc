"""A data set in one NumPy archive."""

from __future__ import annotations

from zipfile import BadZipFile

import numpy as np
import torch

from nasforge.errors import DataError, suggest
from nasforge.images import ImageSet, InMemoryImages
from nasforge_plugins.data.npz.config import NpzConfig

__all__ = ["Npz"]

NEEDED = ("x_train", "y_train", "x_test", "y_test")


class Npz(InMemoryImages[NpzConfig]):
    """Images and labels from the arrays of one ``.npz`` file; pickled objects in it are refused."""

    def load(self) -> ImageSet:
        """Read and check the archive.

        Raises:
            DataError: The file is missing or no archive, or an array is missing or does not fit.
        """
        where = f"data.path '{self.config.path}'"
        arrays = self._read(where)
        if missing := [name for name in NEEDED if name not in arrays]:
            hints = suggest(missing[0], [n for n in arrays if n not in NEEDED])
            raise DataError(
                f"{where}: has no array {', '.join(map(repr, missing))}.{hints} "
                f"Store {', '.join(NEEDED)} with numpy.savez."
            )
        x_train, y_train, x_test, y_test = (arrays[name] for name in NEEDED)
        for name, array in (("x_train", x_train), ("x_test", x_test)):
            if array.dtype != np.uint8 or array.ndim not in (3, 4):
                raise DataError(
                    f"{where}: {name!r} is {array.dtype} of shape {array.shape}. Store uint8 (0 to 255), "
                    "N x height x width or N x height x width x channels."
                )
            if array.ndim == 4 and array.shape[3] > array.shape[1]:
                raise DataError(
                    f"{where}: {name!r} has shape {array.shape}, which looks like channels first. Store "
                    f"{name}.transpose(0, 2, 3, 1)."
                )
        for name, array, images in (("y_train", y_train, x_train), ("y_test", y_test, x_test)):
            if array.dtype.kind not in "iu" or array.shape != (len(images),):
                raise DataError(
                    f"{where}: {name!r} is {array.dtype} of shape {array.shape} for {len(images)} images. "
                    "Store one integer per image."
                )
        if "classes" in arrays:
            classes = tuple(str(name) for name in arrays["classes"].reshape(-1))
        else:
            highest = max((int(y.max()) for y in (y_train, y_test) if len(y)), default=-1)
            classes = tuple(str(label) for label in range(highest + 1))
        data = ImageSet(_images(x_train), _labels(y_train), _images(x_test), _labels(y_test), classes)
        data.check(where)
        return data

    def _read(self, where: str) -> dict[str, np.ndarray]:
        if not self.config.path.is_file():
            raise DataError(f"{where}: there is no such file. Write the path of an .npz file.")
        try:
            loaded = np.load(self.config.path, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ValueError("one array, not an archive of named arrays")
            with loaded as archive:
                return dict(archive)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise DataError(
                f"{where}: cannot be read ({error}). Write it with numpy.savez; arrays of Python objects are "
                "not read."
            ) from None


def _images(array: np.ndarray) -> torch.Tensor:
    images = torch.from_numpy(np.ascontiguousarray(array))
    return images if images.dim() == 4 else images[..., None]


def _labels(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.int64))
