"""Image files that cannot be read: find all of them, and list them in one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nasforge.errors import ImageError
from nasforge.images.decoding import decode

__all__ = ["find_broken", "list_broken"]

SHOWN = 50
"""Files that one message names."""


def find_broken(files: Sequence[Path], threads: int = 8) -> dict[Path, str]:
    """Decode every file, and return why some cannot be.

    Args:
        files: The image files.
        threads: Files decoded at the same time.

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
        reasons = pool.map(reason, files)
        return {file: why for file, why in zip(files, reasons, strict=True) if why}


def list_broken(
    where: str, broken: Mapping[Path, str] | Mapping[str, str], total: int, remedy: str = ""
) -> str:
    """Return a message that names broken images, one per line.

    Args:
        where: Option or command that names the images.
        broken: The reason by file.
        total: Number of images that were read.
        remedy: What to do; empty: replace or remove them.
    """
    lines = [f"  - '{file}': {why}" for file, why in list(broken.items())[:SHOWN]]
    if len(broken) > SHOWN:
        lines.append(f"  - and {len(broken) - SHOWN:,} more")
    listed = "\n".join(lines)
    what = "image cannot" if len(broken) == 1 else "images cannot"
    return (
        f"{where}: {len(broken):,} of {total:,} {what} be read:\n{listed}\n"
        f"{remedy or 'Replace or remove them.'}"
    )
