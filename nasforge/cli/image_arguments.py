"""Image files that a user names on the command line: files, folders, patterns."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nasforge.errors import DataError, suggest

__all__ = ["NamedImage", "find_images"]


class NamedImage(NamedTuple):
    """An image file that was named by a user."""

    path: Path
    """The file, as it was named."""

    folder: str
    """Name of the folder that would be its class."""


def find_images(arguments: Sequence[str]) -> list[NamedImage]:
    """Find the files that arguments name, in the order of the arguments, each once.

    Args:
        arguments: Files; folders, whose images are taken in the order of the data plugins for folders; and
            patterns with ``*``, ``?`` and ``**``, for shells that do not expand them.

    Raises:
        DataError: Arguments name nothing, or folders without images. All are listed.
    """
    found: dict[Path, NamedImage] = {}
    problems: list[str] = []
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.exists():
            paths = [path]
        elif glob.has_magic(argument):
            paths = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - absolute ones too
            if not paths:
                problems.append(f"'{argument}' matches no file.")
        else:
            paths = []
            problems.append(_missing(path))
        for one in paths:
            images = _in_folder(one) if one.is_dir() else [NamedImage(one, one.absolute().parent.name)]
            if not images and one == path:
                problems.append(f"folder '{one}' has no image ({', '.join(_suffixes())}).")
            found |= {image.path: image for image in images if image.path not in found}
        if paths and paths != [path] and not found:
            problems.append(f"'{argument}' matches folders without images.")
    if problems:
        raise DataError("predict: " + " ".join(problems))
    return list(found.values())


def _in_folder(folder: Path) -> list[NamedImage]:
    from nasforge.images.files import images_below

    files = [Path(name) for name in images_below(folder)]
    # By class, then by name, as a folder of classes is listed for a run: the batches are then the same.
    files.sort(key=lambda file: (file.parts[0] if len(file.parts) > 1 else "", file.as_posix()))
    own = folder.resolve().name
    return [NamedImage(folder / file, file.parts[0] if len(file.parts) > 1 else own) for file in files]


def _missing(path: Path) -> str:
    if path.is_symlink():
        return f"'{path}' is a symbolic link that leads to no file. Remove it, or name the file."
    there = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = suggest(path.name, there)
    hint = near if near.startswith(" Did") else ""  # not the whole folder
    return f"there is no file or folder '{path}'.{hint}"


def _suffixes() -> tuple[str, ...]:
    from nasforge.images.files import SUFFIXES

    return SUFFIXES
