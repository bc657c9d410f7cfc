"""The lock of a folder: one process at a time works in it."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nasforge.errors import RunError
from nasforge.files import refuse_special

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["LOCK_FILES", "lock_folder"]

LOCK = ".lock"
"""File that is locked by the system; it is empty, and stays."""

MARKER = ".lock.soft"
"""File that exists while a folder is held, where the file system has no locks; it names the process."""

LOCK_FILES = frozenset({LOCK, MARKER})

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})


@contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Hold a folder, which is made if it is missing, so that no second process works in it.

    A folder in which nothing was written is left as it was. Where the file system has no locks, a marker file
    takes their place. If its process died, it is removed on the same computer. On another one its process may
    be alive, so the marker stays until a user deletes it.

    Args:
        path: The folder.

    Raises:
        RunError: Another process holds it, or it cannot be made or locked.
    """
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{path}: the folder cannot be made ({error.strerror}). Choose another place with --out."
        ) from None
    had_lock, before = os.path.lexists(path / LOCK), _contents(path)
    try:
        lock = _acquire(path)
        try:
            yield
        finally:
            if not had_lock and _contents(path) == before:
                _remove(path / LOCK)  # while it is held, so that no other process loses it
            lock.release()
    finally:
        if made and not _contents(path):
            if not had_lock:
                _remove(path / LOCK)
            with suppress(OSError):
                path.rmdir()


def _acquire(path: Path) -> BaseFileLock:
    from filelock import FileLock, SoftFileLock, Timeout

    marker = SoftFileLock(path / MARKER)
    try:
        lock = FileLock(path / LOCK, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            marker.acquire(blocking=False)
            warnings.warn(
                f"{path}: this file system has no locks ({error.strerror}), so the file {MARKER} marks the "
                "folder as in use. Delete it if a process on another computer died and left it.",
                stacklevel=4,
            )
            return marker
        if os.path.lexists(path / MARKER):  # of a process that got no lock
            try:
                marker.acquire(blocking=False)
                marker.release()
            except BaseException:
                lock.release()
                raise
        return lock
    except OSError as error:
        raise RunError(_describe(error, path, held=isinstance(error, Timeout))) from None


def _describe(error: OSError, path: Path, *, held: bool) -> str:
    if links := [name for name in sorted(LOCK_FILES) if (path / name).is_symlink()]:
        return f"{path / links[0]}: is a symbolic link, which is not followed. Delete it."
    if held:
        return (
            f"{path}: another process is working in this folder{_holder(path / MARKER)}. Wait for it, or "
            "choose another name with --set run.name=…."
        )
    return (
        f"{path}: the folder cannot be locked ({error.strerror or error}). Make it writable, or choose "
        "another place with --out."
    )


def _holder(marker: Path) -> str:
    """Return the process that a marker names, as words for a message; empty without a marker."""
    try:
        refuse_special(marker)
        words = marker.read_text(encoding="utf8").split()
    except (OSError, UnicodeDecodeError):
        return ""
    named = f"process {words[0]} on {words[1]}" if len(words) > 1 else "one that left no name"
    return f" ({named}; if it is dead, delete {marker.name} there)"


def _contents(path: Path) -> set[str]:
    try:
        return {file.name for file in path.iterdir() if file.name not in LOCK_FILES}
    except OSError:
        return set()


def _remove(file: Path) -> None:
    with suppress(OSError):  # gone, or in use (Windows)
        file.unlink()
