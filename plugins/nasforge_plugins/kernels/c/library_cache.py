"""Compiled libraries on disk: only files that no other user can change are loaded, because they run here.

Folder and file belong to this user or to root and cannot be written by others; neither is a symbolic link;
the name of a file holds the SHA-256 of its content, which is checked before it is loaded.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

__all__ = ["UnsafeCacheError", "find_library", "open_cache", "store_library"]

OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UnsafeCacheError(Exception):
    """The cache cannot be used, because another user could put code there."""


def open_cache(folder: Path) -> Path:
    """Return the folder of the libraries, which is made if it is missing.

    Args:
        folder: Its path.

    Raises:
        UnsafeCacheError: Another user can write to it, or to a folder above it.
        OSError: It cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not hasattr(os, "getuid"):
        return folder
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeCacheError(f"{folder} is a symbolic link")
    if found.st_uid == os.getuid() and found.st_mode & OTHERS:
        folder.chmod(0o700)  # made with an open umask; its files are checked one by one
    for place in (folder, *folder.resolve().parents):
        _check_owner(place)
    return folder


def find_library(folder: Path, name: str) -> Path | None:
    """Return a stored library, or None if there is none that may be loaded. Others of that name are removed.

    Args:
        folder: The result of `open_cache`.
        name: Its name, as given to `store_library`.
    """
    for path in sorted(folder.glob(f"{name}-*.so")):
        content = _read_own(path)
        if content is not None and path.name == _file_name(name, content):
            return path
        path.unlink(missing_ok=True)
    return None


def store_library(folder: Path, name: str, made: Path) -> Path:
    """Move a new library into the cache and return its place.

    Args:
        folder: The result of `open_cache`.
        name: All that the content depends on.
        made: The library, inside ``folder``.
    """
    made.chmod(0o700)
    target = folder / _file_name(name, made.read_bytes())
    made.replace(target)  # another process may do the same at the same time
    return target


def _file_name(name: str, content: bytes) -> str:
    return f"{name}-{hashlib.sha256(content).hexdigest()}.so"


def _check_owner(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid not in (0, os.getuid()):
        raise UnsafeCacheError(f"{folder} belongs to another user (uid {found.st_uid})")
    shared = found.st_mode & OTHERS
    if shared == stat.S_IWGRP and _is_private(found.st_gid):
        return
    if shared and not found.st_mode & stat.S_ISVTX:  # in a sticky folder others cannot replace what is mine
        raise UnsafeCacheError(f"{folder} can be written by other users")


def _is_private(group: int) -> bool:
    """Return whether a group is the one of this user alone, as most systems make one for each user."""
    import grp
    import pwd

    try:
        return grp.getgrgid(group).gr_name == pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False


def _read_own(path: Path) -> bytes | None:
    """Return the content of a file that no other user can change, else None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        regular = stat.S_ISREG(found.st_mode)
        own = not hasattr(os, "getuid") or (
            found.st_uid in (0, os.getuid()) and not found.st_mode & OTHERS and found.st_nlink == 1
        )
        return file.read() if regular and own else None
