"""Photos that were decoded and scaled down once, in one file on disk that all processes map into memory."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from nasforge.errors import DataError, ImageError
from nasforge.files import cache_folder, open_own
from nasforge.images import Preprocessing
from nasforge.images.files import Folder

__all__ = ["ResizedPhotos"]

FORMAT = 1
"""Part of every name: raise it when scaling or layout change."""

TOGETHER = 256
"""Photos between two flushes to the disk."""


class ResizedPhotos:
    """Photos of a folder with a shorter side of a given length, appended to one file as they are made.

    Beside the file ``<key>.bytes`` is ``<key>.rows`` with one JSON line per photo: its position in the
    folder, where its bytes begin, height, width, and their CRC-32. Rows are written after the bytes, so what
    a crash left is cut off and made again. The key depends on names, sizes and times of change of all files.

    Args:
        folder: The files.
        side: Length of the shorter side, in pixels. Smaller photos stay as they are.
        preprocessing: Decodes a file.
    """

    def __init__(self, folder: Folder, side: int, preprocessing: Preprocessing) -> None:
        self._folder, self._side, self._preprocessing = folder, side, preprocessing
        self._path = _place(folder, side, preprocessing)
        self._rows: dict[int, tuple[int, int, int, int]] = {}
        self._map: Any = None

    def __len__(self) -> int:
        """Number of stored photos."""
        return len(self._rows)

    def make(self, positions: Iterable[int], threads: int) -> None:
        """Make the photos that are not there yet; those that cannot be decoded are left out.

        If the folder of the cache cannot be written, a warning says so, and `read` returns None.

        Args:
            positions: Positions in the folder.
            threads: Photos decoded at the same time.

        Raises:
            DataError: The stored photos are damaged.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock")):
                self._open()
                missing = [p for p in positions if p not in self._rows]
                if missing:
                    warnings.warn(
                        f"{len(missing):,} photos are decoded once and kept in '{self._path}'.", stacklevel=2
                    )
                    self._append(missing, threads)
        except OSError as error:
            self._rows = {}
            warnings.warn(
                f"Resized photos cannot be kept in '{self._path.parent}' ({error}): every pass decodes them. "
                "Set NASFORGE_CACHE to a folder that can be written to.",
                stacklevel=2,
            )

    def read(self, position: int) -> Tensor | None:
        """Return a photo as uint8 ``(3, H, W)``; None if it is not stored.

        Args:
            position: Its position in the folder.

        Raises:
            DataError: Its bytes are damaged.
        """
        if position not in self._rows:
            return None
        start, height, width, crc = self._rows[position]
        if self._map is None:  # in every process anew
            self._map = np.memmap(self._path, np.uint8, "r")
        content = np.array(self._map[start : start + height * width * 3])
        if zlib.crc32(content.tobytes()) != crc:
            raise DataError(
                f"data.cached_side: '{self._path}' is damaged: the bytes of '{self._folder.files[position]}' "
                "have another checksum. Delete it; the next run makes it again."
            )
        return torch.from_numpy(content.reshape(height, width, 3)).permute(2, 0, 1)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_map": None}

    def _open(self) -> None:
        """Read the rows, and cut off what is not whole behind them."""
        self._rows, self._map = {}, None
        rows = self._path.with_suffix(".rows")
        kept = ended = 0
        size = self._path.stat().st_size if self._path.exists() else 0
        for line in rows.read_bytes().splitlines(keepends=True) if rows.exists() else ():
            row = _parse(line)
            if row is None or row[1] != ended or ended + row[2] * row[3] * 3 > size:
                break
            self._rows[row[0]] = row[1:]
            kept, ended = kept + len(line), ended + row[2] * row[3] * 3
        for path, length in ((self._path, ended), (rows, kept)):
            with open_own(path, "ab") as file:
                file.truncate(length)

    def _append(self, positions: list[int], threads: int) -> None:
        at = sum(height * width * 3 for _, height, width, _ in self._rows.values())
        rows = self._path.with_suffix(".rows")
        with open_own(self._path, "ab") as pixels, open_own(rows, "ab") as lines:
            for start in range(0, len(positions), TOGETHER):
                made = []
                for position, photo in self._decoded(positions[start : start + TOGETHER], threads):
                    content = photo.numpy().tobytes()
                    row = (at, photo.shape[0], photo.shape[1], zlib.crc32(content))
                    pixels.write(content)
                    self._rows[position] = row
                    made.append(json.dumps([position, *row]).encode() + b"\n")
                    at += len(content)
                for file in (pixels, lines):
                    if file is lines:
                        file.writelines(made)
                    file.flush()
                    os.fsync(file.fileno())

    def _decoded(self, positions: list[int], threads: int) -> Iterator[tuple[int, Tensor]]:
        def decode(position: int) -> Tensor | None:
            path = self._folder.path / self._folder.files[position]
            with suppress(ImageError):
                return self._scaled(self._preprocessing.decode(path, "data.root"))
            return None

        with ThreadPoolExecutor(threads) as pool:
            for position, photo in zip(positions, pool.map(decode, positions), strict=True):
                if photo is not None:
                    yield position, photo

    def _scaled(self, image: Tensor) -> Tensor:
        """Return bytes ``(H, W, 3)`` whose shorter side is not longer than wanted."""
        if min(image.shape[1:]) > self._side:
            image = F.resize(image, [self._side], antialias=True)
        return image.permute(1, 2, 0).contiguous()


def _parse(line: bytes) -> tuple[int, int, int, int, int] | None:
    try:
        position, start, height, width, crc = json.loads(line)
        return int(position), int(start), int(height), int(width), int(crc)
    except (ValueError, TypeError):
        return None


def _place(folder: Folder, side: int, preprocessing: Preprocessing) -> Path:
    how = [FORMAT, side, preprocessing.background, preprocessing.exif]
    key = json.dumps([how, str(folder.path.resolve()), folder.stamps()])
    return cache_folder("imagenet") / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.bytes"
