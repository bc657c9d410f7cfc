"""Compiled libraries on disk: only files that no other user can change are loaded, because they run here.

The name of a file holds the SHA-256 of its content, which is checked before it is loaded.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from nasforge.files import read_own

__all__ = ["find_library", "store_library"]


def find_library(folder: Path, name: str) -> Path | None:
    """Return a stored library, or None if there is none that may be loaded. Others of that name are removed.

    Args:
        folder: The result of `nasforge.files.open_cache`.
        name: Its name, as given to `store_library`.
    """
    for path in sorted(folder.glob(f"{name}-*.so")):
        content = read_own(path)
        if content is not None and path.name == _file_name(name, content):
            return path
        path.unlink(missing_ok=True)
    return None


def store_library(folder: Path, name: str, made: Path) -> Path:
    """Move a new library into the cache and return its place.

    Args:
        folder: The result of `nasforge.files.open_cache`.
        name: All that the content depends on.
        made: The library, inside ``folder``.
    """
    made.chmod(0o700)
    target = folder / _file_name(name, made.read_bytes())
    made.replace(target)  # another process may do the same at the same time
    return target


def _file_name(name: str, content: bytes) -> str:
    return f"{name}-{hashlib.sha256(content).hexdigest()}.so"
