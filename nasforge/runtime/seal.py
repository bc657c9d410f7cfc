"""Safetensors files with a SHA-256 of all their bytes, so that a flipped bit does not pass unnoticed.

The one entry of the header is a JSON object that begins with ``"sha256"``. The checksum is that of the whole
file with 64 zeros in its place. Any tool reads such a file; only nasforge checks it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nasforge.errors import CheckpointError, unreadable
from nasforge.files import refuse_special

__all__ = ["NO_CHECKSUM", "read_sealed", "write_sealed"]

KEY = "sha256"
ZEROS = "0" * 64
PLACE = re.compile(rb'\{\\"sha256\\": \\"([0-9a-f]{64})\\"')
"""The checksum in the header, where the entry's JSON is a string inside JSON."""

CHUNK = 1 << 22
MOST = 100_000_000
"""The largest header that safetensors reads, in bytes."""

NO_CHECKSUM = "has no checksum"


def write_sealed(path: Path, tensors: Mapping[str, Tensor], entry: str, text: str) -> None:
    """Write a file and flush it to the disk.

    Args:
        path: The file.
        tensors: Contiguous tensors on the CPU, by name.
        entry: Name of the entry of the header.
        text: The entry, a JSON object.

    Raises:
        OSError: The file cannot be written.
    """
    rest = "}" if text == "{}" else f", {text[1:]}"
    # One entry only: safetensors writes several in random order, and equal states are equal bytes.
    try:
        save_file(dict(tensors), path, {entry: f'{{"{KEY}": "{ZEROS}"{rest}'})
    except SafetensorError as error:
        path.unlink(missing_ok=True)  # a full disk needs the space
        if code := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from None
        raise
    with path.open("r+b") as file:
        digest, place, _ = _digest(file)
        assert place is not None, "the entry was written just now"
        file.seek(place)
        file.write(digest.encode())
        file.flush()
        os.fsync(file.fileno())


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write_sealed` wrote, if its checksum is right.

    Returns:
        The tensors by name, on the CPU, and the entries of the header, as JSON data without the checksum.

    Raises:
        CheckpointError: The file is missing, truncated, damaged, or has no checksum.
        InaccessibleError: It may be sound, but this process cannot open it.
    """
    try:
        refuse_special(path)
        with path.open("rb") as file:
            digest, place, stored = _digest(file)
        if place is None:
            raise CheckpointError(f"{path}: {NO_CHECKSUM}, so nasforge did not write it, or it is damaged.")
        if digest != stored:
            raise CheckpointError(f"{path}: is damaged: its checksum differs from its content.")
        with safe_open(path, "pt", device="cpu") as file:
            found = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise unreadable(path, error) from None
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}).") from None
    entries = {name: data for name, data in found.items() if isinstance(data, dict)}
    return tensors, {name: {k: v for k, v in data.items() if k != KEY} for name, data in entries.items()}


def _digest(file: IO[bytes]) -> tuple[str, int | None, str]:
    """Return the checksum of a file, the position of the stored one, and the stored one."""
    file.seek(0)
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > MOST:
        raise ValueError("truncated, or no safetensors file")
    header = bytearray(file.read(length))
    found = PLACE.search(header)
    if found is None:
        return "", None, ""
    stored = found[1].decode()
    place = 8 + found.start(1)
    header[found.start(1) : found.end(1)] = ZEROS.encode()
    digest = hashlib.sha256(head)
    digest.update(header)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest(), place, stored
