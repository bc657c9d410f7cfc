"""Atomic writes, JSON files, and the folders of data that outlive a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasforge.errors import CheckpointError

__all__ = ["read_json", "sync", "user_folder", "write_bytes", "write_json", "write_text"]


def user_folder(kind: str) -> Path:
    """Return the folder for one kind of things: inside ``NASFORGE_DATA``, else inside the user's data folder.

    Args:
        kind: Such as ``"tables"``.
    """
    if named := os.environ.get("NASFORGE_DATA"):
        return Path(named) / kind
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "nasforge" / kind


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: The file is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as JSON ({error}). Delete it to do its stage again."
        ) from None


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode("utf8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: beside its place, flushed to the disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk; folders only where the system can (POSIX)."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
