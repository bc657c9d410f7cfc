"""Table files: arrays and a description in one ``.npz`` file, without pickle, with a checksum."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasforge.files import open_own, replacing
from nasforge_plugins.evaluators.tabular.errors import TableError

__all__ = ["read_archive", "stored_checksum", "write_archive"]

FORMAT = "nasforge-table-1"
DAMAGED = "is not a nasforge table, or is damaged ({}). Import it again with 'nasforge tables import'."
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    AttributeError,
    TypeError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy, zipfile and json raise for files that are damaged or something else."""

Arrays = Mapping[str, NDArray[Any]]


def write_archive(path: Path, arrays: Arrays, about: Mapping[str, Any]) -> None:
    """Write one ``.npz`` file, without pickle and in one piece: it appears when it is complete."""
    stored = {"format": FORMAT, **about, "sha256": _checksum(arrays, about)}
    meta = json.dumps(stored, sort_keys=True).encode()
    with replacing(path) as temporary, open_own(temporary, "xb") as file:
        np.savez_compressed(file, meta=np.frombuffer(meta, np.uint8), **arrays)  # type: ignore[arg-type]


def read_archive(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the arrays and the description that `write_archive` stored.

    Raises:
        TableError: The file is missing, damaged, or not a table.
    """
    check_file(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("meta").tobytes())
        if about.pop("format") != FORMAT:
            raise ValueError("another version of the format")
        # The table inside nasforge has none; zip archives have a CRC-32 of each member besides.
        stored = about.pop("sha256", None)
        if stored is not None and stored != _checksum(arrays, about):
            raise ValueError("its checksum differs from its content")
        if "keys" not in arrays:
            raise ValueError("it has no keys")
    except FileNotFoundError:
        raise TableError(f"{path}: no such file.") from None
    except UNREADABLE as error:
        raise TableError(f"{path}: {DAMAGED.format(error)}") from None
    return arrays, about


def stored_checksum(path: Path) -> str:
    """Return the checksum in a table file, without reading or checking its numbers; empty if it has none.

    Raises:
        TableError: The file cannot be read.
    """
    check_file(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["meta"].tobytes())
        return str(about.get("sha256", ""))
    except UNREADABLE as error:
        raise TableError(f"{path}: {DAMAGED.format(error)}") from None


def check_file(path: Path) -> None:
    """Refuse what is in the place of a table file: a folder, or a named pipe, whose reader waits for ever.

    Raises:
        TableError: It is there, and not a regular file.
    """
    if path.exists() and not path.is_file():
        raise TableError(f"{path}: is not a file. Remove it.")


def _checksum(arrays: Arrays, about: Mapping[str, Any]) -> str:
    """Return a SHA-256 of numbers, names and types of all arrays, and of the description."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
