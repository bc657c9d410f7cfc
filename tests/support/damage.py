"""Damage to files: flipped bits, and JSON of another shape."""

from contextlib import contextmanager
from pathlib import Path
from random import Random


@contextmanager
def flip(path: Path, draw: Random):
    """Flip one bit of a file; it is put back on exit."""
    whole = path.read_bytes()
    place = draw.randrange(len(whole) * 8)
    changed = bytearray(whole)
    changed[place // 8] ^= 1 << (place % 8)
    path.write_bytes(changed)
    try:
        yield place
    finally:
        path.write_bytes(whole)
