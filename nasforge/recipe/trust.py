"""Code that came with recipes and may run here: a list of checksums in the user's state folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nasforge.files import open_own

__all__ = ["is_trusted", "is_trusted_folder", "list_place", "trust_code", "trust_folder"]

_WRITABLE = 0o022
"""Permission bits that let others write."""

_now: set[str] = set()
"""What is trusted in this process, whether it could be written down or not."""

_folders: set[Path] = set()
"""Run folders that were trusted as a whole in this process."""


def trust_folder(folder: Path) -> None:
    """Trust everything that the recipe of a run folder runs, in this process."""
    _folders.add(folder.resolve())


def is_trusted_folder(folder: Path) -> bool:
    """Return whether `trust_folder` was called for a folder."""
    return folder.resolve() in _folders


def list_place() -> Path:
    """Return the path: ``nasforge/trusted.txt`` below ``XDG_STATE_HOME`` or ``~/.local/state``."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "nasforge" / "trusted.txt"


def is_trusted(mark: str) -> bool:
    """Return whether a piece of code ran here before by the user's own recipe, or was trusted.

    Args:
        mark: ``"sha256:…"`` of a file, or ``"module:name"`` of one that is imported by name.
    """
    return mark in _now or mark in _read(list_place())


def trust_code(marks: Iterable[tuple[str, str]], *, keep: bool = True) -> None:
    """Add code to the list. If the list cannot be written, the code is then asked about again.

    Args:
        marks: Pairs of mark and name, such as ``("sha256:…", "my_space.py")``; the name is for readers.
        keep: Write the list; else they count in this process alone.
    """
    path = list_place()
    new = [(mark, name) for mark, name in marks if mark not in _now]
    _now.update(mark for mark, _ in new)
    known = _read(path) if keep and new else frozenset()
    lines = "".join(f"{mark} {ascii(name)[1:-1]}\n" for mark, name in new if mark not in known)
    if not keep or not lines:
        return
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_private(path.parent.lstat()):
            with open_own(path, "a", private=True) as file:
                file.write(lines)


def _read(path: Path) -> frozenset[str]:
    """Read the marks of the list; one that others can write to does not count."""
    try:
        with open_own(path, "r") as file:
            if not (_is_private(os.fstat(file.fileno())) and _is_private(path.parent.lstat())):
                warnings.warn(
                    f"{path}: is not used, because other users can write to it or to its folder, or own it. "
                    "Run chmod go-w on both.",
                    stacklevel=4,
                )
                return frozenset()
            return frozenset(line.split()[0] for line in file if line.strip())
    except (OSError, UnicodeDecodeError):
        return frozenset()


def _is_private(about: os.stat_result) -> bool:
    if os.name != "posix":
        return True
    return about.st_uid in (0, os.geteuid()) and not about.st_mode & _WRITABLE
