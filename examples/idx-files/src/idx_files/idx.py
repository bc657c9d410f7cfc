"""One IDX file: a few bytes that tell type and shape, then the numbers."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = ["IdxError", "read_idx", "write_idx"]

BYTES = 0x08
"""The type code of unsigned bytes, the only one that image sets use."""


class IdxError(ValueError):
    """Fault of a file; the message continues after its name."""


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Read a file of bytes.

    Args:
        path: Packed by gzip if its name ends in ``.gz``.
        dimensions: How many it must have: 3 for images, 1 for labels.

    Returns:
        uint8, in the shape that the file tells.

    Raises:
        IdxError: It cannot be read, is of another type, or is shorter or longer than it says.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise IdxError(f"cannot be read ({error}). Download it again.") from None
    start = 4 + 4 * dimensions
    if len(content) < 4 or content[:2] != b"\0\0":
        raise IdxError("is no IDX file. Its first two bytes must be zero; was a web page saved instead?")
    if content[2] != BYTES or content[3] != dimensions:
        raise IdxError(
            f"holds numbers of type {content[2]:#04x} in {content[3]} dimension(s), wanted are bytes "
            f"({BYTES:#04x}) in {dimensions}. Were images and labels mixed up?"
        )
    if len(content) < start:
        raise IdxError("ends before its shape. Download it again.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise IdxError(
            f"says it holds {' x '.join(map(str, shape))} bytes, but has {len(content) - start}. Download it "
            "again."
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def write_idx(path: Path, numbers: Tensor) -> None:
    """Write bytes as an IDX file, packed if the name ends in ``.gz``: to bring images of your own along.

    Args:
        path: The file.
        numbers: uint8: images ``(N, H, W)`` or labels ``(N,)``.
    """
    head = bytes([0, 0, BYTES, numbers.dim()]) + struct.pack(f">{numbers.dim()}I", *numbers.shape)
    content = head + numbers.contiguous().numpy().tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
