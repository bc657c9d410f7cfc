"""The user's cache folder: where it is, and checks that no other user can change what is read from it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["UnsafeCacheError", "cache_folder", "open_cache", "read_own"]

OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UnsafeCacheError(Exception):
    """The cache cannot be used, because another user could change its files."""


def cache_folder(kind: str = "") -> Path:
    """Return the folder for one kind of things: inside ``NASFORGE_CACHE``, else ``~/.cache/nasforge``.

    Args:
        kind: Such as ``"native"``; empty for the folder of all.

    Raises:
        RuntimeError: The user has no home folder.
    """
    return Path(os.environ.get("NASFORGE_CACHE") or Path.home() / ".cache/nasforge") / kind


def open_cache(folder: Path) -> Path:
    """Return a folder whose files no other user can change; it is made if it is missing.

    Folder and folders above it belong to this user or to root and cannot be written by others.

    Args:
        folder: Its path.

    Raises:
        UnsafeCacheError: It is a symbolic link, or another user can write to it or to a folder above it.
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


def read_own(path: Path) -> bytes | None:
    """Return the content of a file that no other user can change, else None; links are not followed.

    Args:
        path: A file in the result of `open_cache`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        regular = stat.S_ISREG(found.st_mode)
        own = not hasattr(os, "getuid") or (
            found.st_uid in (0, os.getuid()) and not found.st_mode & OTHERS and found.st_nlink == 1
        )
        return file.read() if regular and own else None


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
