"""Atomic writes, JSON files, and the folders of data that outlive a run."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nasforge.errors import CheckpointError, unreadable

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "UnsafeCacheError",
    "cache_folder",
    "fresh_partial",
    "open_cache",
    "open_own",
    "read_json",
    "read_own",
    "refuse_special",
    "replacing",
    "sync",
    "user_folder",
    "write_bytes",
    "write_json",
    "write_text",
]


OTHERS = stat.S_IWGRP | stat.S_IWOTH

UNFOLLOWED = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK"))
"""Flags of files that others may have made: no link, and no waiting for a pipe."""

READING = os.O_RDONLY | UNFOLLOWED | getattr(os, "O_BINARY", 0)
"""Flags of files of others; bytes as they are (Windows)."""


class UnsafeCacheError(Exception):
    """The cache cannot be used, because another user could change its files."""


def user_folder(kind: str) -> Path:
    """Return the folder for one kind of things: inside ``NASFORGE_DATA``, else inside the user's data folder.

    Args:
        kind: Such as ``"tables"``.
    """
    if named := os.environ.get("NASFORGE_DATA"):
        return Path(named) / kind
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "nasforge" / kind


def cache_folder(kind: str = "") -> Path:
    """Return the folder for one kind of things: inside ``NASFORGE_CACHE``, else ``~/.cache/nasforge``.

    Args:
        kind: Such as ``"native"``; empty for the folder of all.

    Raises:
        RuntimeError: The user has no home folder.
    """
    return Path(os.environ.get("NASFORGE_CACHE") or Path.home() / ".cache/nasforge") / kind


def read_json(
    path: Path, shape: type[BaseModel] | None = None, advice: str = "Delete it to do its stage again."
) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        shape: The entries that it must have, and their types.
        advice: Advice to the user about a wrong file.

    Raises:
        CheckpointError: The file cannot be read, is not valid JSON, or has another shape.
    """
    try:
        refuse_special(path)
        data = json.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise unreadable(path, error, advice) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise CheckpointError(f"{path}: cannot be read as JSON ({reason}). {advice}") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: holds a JSON {type(data).__name__} instead of an object. {advice}")
    if shape is not None and (problem := _misfit(shape, data)):
        raise CheckpointError(f"{path}: {problem}. {advice}")
    return data


def _misfit(shape: type[BaseModel], data: Mapping[str, Any]) -> str:
    """Return the first entry that does not have its type, in words."""
    from pydantic import ValidationError  # the shape has imported it already

    try:
        shape.model_validate(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = str(first["msg"])
        return f"{place!r} is wrong: {message[:1].lower()}{message[1:]}"
    return ""


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode("utf8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: beside its place, flushed to the disk, then renamed."""
    with replacing(path) as temporary, open_own(temporary, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the place to write a file beside its own; it is renamed at the end, or removed after an error.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be written, or is a pipe or a device, which renaming would remove.
    """
    if os.path.lexists(path) and not path.is_symlink():
        refuse_special(path)
    temporary = fresh_partial(path)
    try:
        yield temporary
        temporary.replace(path)
    except Exception as error:
        with suppress(OSError):
            temporary.unlink()  # a full disk has better use for its space
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # errors of writing do not name the file
        raise


def fresh_partial(path: Path) -> Path:
    """Return a free place beside a file, to write it before it is renamed; the folder is made.

    Files that a crash left there are removed. A link is removed too, so that its target is not written.

    Args:
        path: The file.
    """
    if not path.name:  # "/" or "."
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with suppress(FileNotFoundError):
        temporary.unlink()
    return temporary


def open_own(path: Path, mode: str, *, private: bool = False) -> IO[Any]:
    """Open a file of a run folder; a symbolic link in its place is not followed, a pipe not waited for.

    Args:
        path: The file.
        mode: As for `open`; text is UTF-8.
        private: A new file can be read by its owner alone.

    Raises:
        OSError: It cannot be opened, or is a symbolic link, a pipe or a device.
    """

    def opened(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | UNFOLLOWED, 0o600 if private else 0o666)
        try:
            _refuse_mode(os.fstat(descriptor).st_mode, name)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    return open(path, mode, encoding=None if "b" in mode else "utf8", opener=opened)


def refuse_special(path: Path) -> None:
    """Refuse a pipe, socket or device in the place of a file: reading it may never end.

    Raises:
        OSError: It is one of these, or there is nothing.
    """
    _refuse_mode(path.stat().st_mode, str(path))


def _refuse_mode(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder has an error of its own
        raise OSError(errno.ENXIO, "it is a pipe or a device, not a file", name)


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
        descriptor = os.open(path, READING)
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


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk; folders only where the system can (POSIX)."""
    if path.is_dir() and os.name != "posix":
        return
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
