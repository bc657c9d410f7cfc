"""Image files that cannot be read: find all of them, and list them in one message."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nasforge.errors import DataError, ImageError
from nasforge.images.decoding import decode
from nasforge.images.files import Folder

__all__ = ["LEAVE_OUT", "LEFT_OUT", "find_broken", "leave_out", "list_broken"]

LEAVE_OUT = "Replace or remove them, or leave them out with data.skip_broken = true."
"""Advice about broken images of a recipe."""

LEFT_OUT = "They are left out."
"""Words for broken images that were skipped."""

SHOWN = 50
"""Files that one message names."""


def find_broken(
    files: Sequence[Path], threads: int = 8, report: Callable[[int], None] = lambda count: None
) -> dict[Path, str]:
    """Decode every file, and return why some cannot be.

    Args:
        files: The image files.
        threads: Files decoded at the same time.
        report: Called after every file, with the number of files so far.

    Returns:
        The reason by file, in the order of ``files``.
    """

    def reason(file: Path) -> str:
        try:
            decode(file, "")
        except ImageError as error:
            return error.reason
        return ""

    with ThreadPoolExecutor(threads) as pool:
        broken = {}
        for count, (file, why) in enumerate(zip(files, pool.map(reason, files), strict=True), 1):
            report(count)
            if why:
                broken[file] = why
        return broken


def leave_out(folder: Folder, broken: Collection[str], where: str) -> Folder:
    """Return a folder without its broken files.

    Args:
        folder: The files.
        broken: Paths relative to the folder.
        where: Name of the option that points there, for the message.

    Raises:
        DataError: A class has no other image.
    """
    kept = folder.without(broken)
    if lost := sorted(set(folder.labels) - set(kept.labels)):
        names = ", ".join(repr(folder.classes[label]) for label in lost)
        raise DataError(
            f"{where}: no image of class {names} in '{folder.path}' can be read. Replace them, or remove the "
            "class."
        )
    return kept


def list_broken(
    where: str, broken: Mapping[Path, str] | Mapping[str, str], total: int, remedy: str = ""
) -> str:
    """Return a message that names broken images, one per line.

    Args:
        where: Option or command that names the images.
        broken: The reason by file.
        total: Number of images that were read.
        remedy: Advice; empty: replace or remove them.
    """
    lines = [f"  - '{file}': {why}" for file, why in list(broken.items())[:SHOWN]]
    if len(broken) > SHOWN:
        lines.append(f"  - and {len(broken) - SHOWN:,} more")
    listed = "\n".join(lines)
    return (
        f"{where}: {len(broken):,} of {total:,} images cannot be read:\n{listed}\n"
        f"{remedy or 'Replace or remove them.'}"
    )
