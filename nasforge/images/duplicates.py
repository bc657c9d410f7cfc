"""Find image files that are training and test images at once."""

from __future__ import annotations

import hashlib
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["find_shared", "warn_of_shared"]


def find_shared(train: Iterable[Path], test: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return pairs of a training and a test image that are one file (by links) or equal byte for byte.

    Only files of equal size are read.

    Args:
        train: Files of training images.
        test: Files of test images.
    """
    by_size: dict[int, list[Path]] = {}
    for size, path in _sizes(test):
        by_size.setdefault(size, []).append(path)
    digests: dict[int, dict[str, Path]] = {}
    found = []
    for size, path in _sizes(train):
        if size not in by_size:
            continue
        if size not in digests:
            digests[size] = {_digest(other): other for other in by_size[size]}
        if other := digests[size].get(_digest(path)):
            found.append((path, other))
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


def _sizes(paths: Iterable[Path]) -> Iterator[tuple[int, Path]]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:  # reported when it is decoded
            continue
        if stat.S_ISREG(found.st_mode):
            yield found.st_size, path


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # reported when it is decoded
        return str(path)
