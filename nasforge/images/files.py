"""Image files in folders named after their classes."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from nasforge.errors import DataError

__all__ = ["SUFFIXES", "Folder", "compare_classes", "images_below", "list_folder"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True)
class Folder:
    """The image files below a folder with one sub-folder per class.

    Attributes:
        path: The folder.
        classes: Names of the sub-folders, sorted.
        files: Paths relative to ``path``, sorted by class, then by name.
        labels: Position of each file's class in ``classes``.
    """

    path: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]

    def without(self, broken: Collection[str]) -> Folder:
        """Return the folder without some of its files.

        Args:
            broken: Paths as in ``files``.
        """
        kept = [i for i, file in enumerate(self.files) if file not in broken]
        files, labels = tuple(self.files[i] for i in kept), tuple(self.labels[i] for i in kept)
        return replace(self, files=files, labels=labels)

    def stamps(self) -> list[tuple[str, int, int]]:
        """Return path, size and time of change of each file, for the names of caches; -1 of broken links."""
        found = []
        for file in self.files:
            try:
                status = (self.path / file).stat()
                found.append((file, status.st_size, status.st_mtime_ns))
            except OSError:  # reported when it is decoded
                found.append((file, -1, -1))
        return found


def list_folder(path: Path, where: str) -> Folder:
    """List ``path/<class>/**/*.jpg`` (jpeg, png, bmp, webp; in any case), without opening a file.

    Hidden files and folders, and files of other types, are passed over.

    Args:
        path: The folder of the classes.
        where: Name of the option that points there, for messages.

    Raises:
        DataError: The folder is missing, has fewer than two classes, or a class has no image.
    """
    if not path.is_dir():
        raise DataError(f"{where}: there is no folder '{path}'. It must hold one sub-folder per class.")
    classes = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise DataError(
            f"{where}: '{path}' has {len(classes)} sub-folder(s). It must hold one per class, and two or "
            "more classes."
        )
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = [f"{name}/{file}" for file in images_below(path / name)]
        if not found:
            raise DataError(
                f"{where}: class folder '{path / name}' has no image. Put images "
                f"({', '.join(SUFFIXES)}) into it or remove it."
            )
        files += found
        labels += [label] * len(found)
    return Folder(path, tuple(classes), tuple(files), tuple(labels))


def compare_classes(train: Folder, test: Folder, where: str) -> None:
    """Check that two folders have the same classes.

    Raises:
        DataError: Names the classes that only one of them has.
    """
    problems = [
        f"'{has.path}' has {', '.join(map(repr, extra))}, which '{lacks.path}' lacks."
        for has, lacks in ((train, test), (test, train))
        if (extra := sorted(set(has.classes) - set(lacks.classes)))
    ]
    if problems:
        raise DataError(f"{where}: {' '.join(problems)} Training and test images need the same classes.")


def images_below(folder: Path) -> list[str]:
    """List the image files in a folder and its sub-folders, without the hidden ones.

    Args:
        folder: The folder.

    Returns:
        Sorted paths relative to it, with slashes.
    """
    found = []
    for place, below, files in os.walk(folder):
        below[:] = [n for n in below if not n.startswith(".")]
        relative = Path(place).relative_to(folder)
        found += [
            (relative / file).as_posix()
            for file in files
            if not file.startswith(".") and file.lower().endswith(SUFFIXES)
        ]
    return sorted(found)
