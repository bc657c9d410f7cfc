"""Find the files of a folder that cannot be read, and remember them."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

from nasforge.errors import CheckpointError
from nasforge.files import cache_folder, read_json, write_json
from nasforge.images.broken import find_broken
from nasforge.images.files import Folder

__all__ = ["known_broken"]


def known_broken(folder: Folder, threads: int) -> dict[str, str]:
    """Return why files cannot be read, from the cache if no file has changed since.

    Args:
        folder: The files.
        threads: Files decoded at the same time.

    Returns:
        The reason by path relative to the folder.
    """
    path = _place(folder)
    if path.exists():
        try:
            return dict(read_json(path)["broken"])
        except (CheckpointError, KeyError, TypeError, ValueError) as error:
            warnings.warn(f"The list of broken images is damaged and is made anew ({error})", stacklevel=2)
    paths = {folder.path / file: file for file in folder.files}
    broken = {paths[path]: why for path, why in find_broken(list(paths), threads).items()}
    try:
        write_json(path, {"broken": broken})
    except OSError as error:
        warnings.warn(
            f"The list of broken images cannot be kept in '{path.parent}' ({error}): every run decodes all. "
            "Set NASFORGE_CACHE to a folder that can be written to.",
            stacklevel=2,
        )
    return broken


def _place(folder: Folder) -> Path:
    key = json.dumps([str(folder.path.resolve()), folder.stamps()])
    return cache_folder("imagenet") / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
