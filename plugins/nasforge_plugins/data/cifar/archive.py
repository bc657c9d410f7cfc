"""The archives that CIFAR is published in: fetch them once, check them, read them."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets.utils import check_md5, download_url

from nasforge.errors import DataError

__all__ = ["CIFAR10", "CIFAR100", "Archive", "fetch", "read"]

SIDE = 32


@dataclass(frozen=True)
class Archive:
    """Where an archive is, and what is in it.

    Attributes:
        name: Name of the file.
        url: Where it is published.
        md5: Its published checksum.
        train: Members with the training images, in order.
        test: Member with the test images.
        names: Member with one class name per line.
        label_bytes: Bytes before the pixels of an image; the last of them is its class.
        num_classes: Number of classes.
    """

    name: str
    url: str
    md5: str
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int
    num_classes: int


# Files, checksums and layout: https://www.cs.toronto.edu/~kriz/cifar.html, "binary version".
CIFAR10 = Archive(
    name="cifar-10-binary.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    train=tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
    test="cifar-10-batches-bin/test_batch.bin",
    names="cifar-10-batches-bin/batches.meta.txt",
    label_bytes=1,
    num_classes=10,
)
CIFAR100 = Archive(
    name="cifar-100-binary.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    train=("cifar-100-binary/train.bin",),
    test="cifar-100-binary/test.bin",
    names="cifar-100-binary/fine_label_names.txt",
    label_bytes=2,  # the coarse class of 20, then the fine one of 100
    num_classes=100,
)


def fetch(archive: Archive, root: Path) -> Path:
    """Return the checked archive in ``root``; download it if it is not there.

    Args:
        archive: Which one.
        root: Its folder; made if needed.

    Raises:
        DataError: It cannot be downloaded, or a file of that name is something else.
    """
    path = root / archive.name
    if path.is_file():
        if not check_md5(path, archive.md5):
            raise DataError(
                f"data.root: '{path}' is damaged: its MD5 checksum is not {archive.md5}. Delete it, and the "
                "next run downloads it anew."
            )
        return path
    # Runs that start together must not write into one file; a broken download must not look complete.
    partial = root / f".{archive.name}.{os.getpid()}"
    try:
        download_url(archive.url, root, partial.name, archive.md5)
        partial.replace(path)
    # No network is an OSError, a wrong checksum a RuntimeError, a broken answer an HTTPException.
    except (OSError, RuntimeError, HTTPException) as error:
        raise DataError(
            f"data.root: '{path}' does not exist, and downloading it from {archive.url} failed ({error}). "
            "Without network: copy the archive into that folder, or use other data: 'image-folder' or 'npz' "
            "for images you have, 'digits' for images that need no download."
        ) from None
    finally:
        if root.is_dir():
            partial.unlink(missing_ok=True)
    return path


def read(archive: Archive, path: Path) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[str, ...]]:
    """Read an archive without unpacking it.

    Args:
        archive: Its layout.
        path: The file.

    Returns:
        Training images, uint8 ``(N, 32, 32, 3)`` in the published order, and labels; the same for the test
        images; the names of the classes.

    Raises:
        DataError: The file is not that archive.
    """
    with _explained(path), tarfile.open(path, "r:gz") as tar:
        wanted = {*archive.train, archive.test, archive.names}
        content = {}
        for member in tar:  # in stored order: going back in a compressed file starts anew
            if member.name in wanted and (file := tar.extractfile(member)):
                content[member.name] = file.read()
        train = [_records(content[name], archive.label_bytes) for name in archive.train]
        test_images, test_labels = _records(content[archive.test], archive.label_bytes)
        names = tuple(content[archive.names].decode().split())
        if len(names) != archive.num_classes:
            raise ValueError(f"{len(names)} class names, not {archive.num_classes}")
        images, labels = zip(*train, strict=True)
        return torch.cat(images), torch.cat(labels), test_images, test_labels, names


def _records(data: bytes, label_bytes: int) -> tuple[Tensor, Tensor]:
    rows = np.frombuffer(data, np.uint8).reshape(-1, label_bytes + 3 * SIDE * SIDE)
    labels = torch.from_numpy(rows[:, label_bytes - 1].astype(np.int64))
    planes = rows[:, label_bytes:].reshape(-1, 3, SIDE, SIDE)
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(0, 2, 3, 1))), labels


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
        raise DataError(
            f"data.root: '{path}' is not the published archive ({error}). Delete it, and the next run "
            "downloads it anew."
        ) from None
