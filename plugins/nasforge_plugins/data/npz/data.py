"""A data set in one NumPy archive."""

from __future__ import annotations

import zlib
from zipfile import BadZipFile

import numpy as np
import torch

from nasforge.errors import DataError, suggest
from nasforge.images import ImageSet, InMemoryImages
from nasforge_plugins.data.npz.config import NpzConfig

__all__ = ["Npz"]

FEW_CLASSES = 10
"""Up to this number of classes, each may have a single image."""

UNREADABLE = (OSError, ValueError, EOFError, BadZipFile, zlib.error, NotImplementedError, RuntimeError)
"""What reading a damaged archive raises; the last two for unknown compression, and encryption."""

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
            y_train, y_test, classes = _number(where, y_train, y_test)
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
                arrays = dict(archive)
            if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{others[0]!r} is not an array")
            return arrays
        except UNREADABLE as error:
            raise DataError(
                f"{where}: cannot be read ({error}). Write it with numpy.savez; arrays of Python objects are "
                "not read."
            ) from None


def _number(
    where: str, y_train: np.ndarray, y_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Number the classes from 0 in the order of their labels, and name them after the labels.

    Args:
        where: The file, for the message.
        y_train: Labels of the training images: integers, with gaps or without.
        y_test: Labels of the test images.

    Returns:
        Both arrays with the new numbers, and the names of the classes.

    Raises:
        DataError: There are nearly as many labels as training images, so that they must be something else.
    """
    train = _distinct(y_train)
    if len(train) > FEW_CLASSES and 2 * len(train) > len(y_train):
        raise DataError(
            f"{where}: 'y_train' has {len(train):,} different labels for {len(y_train):,} images "
            f"({train[0]}, {train[1]}, …), which looks like IDs of images. Store the class of each image."
        )
    test = _distinct(y_test)
    found = sorted({*train.tolist(), *test.tolist()})  # Python's integers hold int64 and uint64 alike
    if found and found[0] < 0:
        return y_train, y_test, tuple(map(str, found))  # refused with the other checks of labels
    number = {label: position for position, label in enumerate(found)}
    numbers = [np.array([number[label] for label in labels.tolist()], np.int64) for labels in (train, test)]
    at = np.searchsorted(train, y_train), np.searchsorted(test, y_test)
    return numbers[0][at[0]], numbers[1][at[1]], tuple(map(str, found))


def _distinct(labels: np.ndarray) -> np.ndarray:
    """Return the distinct labels, sorted; much sooner than `numpy.unique` if there are millions."""
    ordered = np.sort(labels)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _images(array: np.ndarray) -> torch.Tensor:
    images = torch.from_numpy(np.ascontiguousarray(array))
    return images if images.dim() == 4 else images[..., None]


def _labels(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.int64))
