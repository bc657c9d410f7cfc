"""Find image files that are training and test images at once."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["find_shared", "warn_of_shared"]

START = 4096
"""Bytes that tell most files of equal size apart."""


def find_shared(train: Iterable[Path], test: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return pairs of a training and a test image that are one file (by links) or equal byte for byte.

    Files of equal size are compared by their first kilobytes, and only those whose beginnings agree are read.

    Args:
        train: Files of training images.
        test: Files of test images.
    """
    by_size: dict[int, list[Path]] = {}
    nodes: dict[tuple[int, int], Path] = {}
    for path, about in _files(test):
        by_size.setdefault(about.st_size, []).append(path)
        nodes[about.st_dev, about.st_ino] = path
    starts: dict[int, dict[bytes, list[Path]]] = {}
    digests: dict[Path, bytes] = {}
    found = []
    for path, about in _files(train):
        size = about.st_size
        if other := nodes.get((about.st_dev, about.st_ino)):
            found.append((path, other))
        elif size in by_size:
            if size not in starts:
                starts[size] = {}
                for one in by_size[size]:
                    starts[size].setdefault(_digest(one, START), []).append(one)
            for other in starts[size].get(_digest(path, START), ()):
                if other not in digests:
                    digests[other] = _digest(other)
                if _digest(path) == digests[other]:
                    found.append((path, other))
                    break
    return found


def warn_of_shared(train: Iterable[Path], test: Iterable[Path], where: str) -> None:
    """Warn if training images are test images as well.

    Args:
        train: Files of training images.
        test: Files of test images.
        where: Name of the option that points to them.
    """
    found = find_shared(train, test)
    if not found:
        return
    one, other = found[0]
    warnings.warn(
        f"{where}: {len(found):,} training images are test images as well, as copies or links; the first: "
        f"'{one}' is '{other}'. The test accuracy will be too high. Remove them from one of the two.",
        stacklevel=3,
    )


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:  # reported when it is decoded
            continue
        if stat.S_ISREG(found.st_mode):
            yield path, found


def _digest(path: Path, size: int = -1) -> bytes:
    """Return the SHA-256 of a file, or of its first bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(size)).digest()
    except OSError:  # reported when it is decoded
        return str(path).encode(errors="surrogateescape")
