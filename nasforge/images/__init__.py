"""Image data: datasets in memory, folders of files, splits, and batched augmentation.

Names are imported when first used, because plugins' ``config.py`` files import ``nasforge.images.config``,
which has to stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasforge.images.decoding import decode
    from nasforge.images.in_memory import ImageSet, InMemoryImages
    from nasforge.images.pixels import cutout
    from nasforge.images.preprocessing import Preprocessing
    from nasforge.images.resizing import resize

_HOMES = {
    "ImageSet": "in_memory",
    "InMemoryImages": "in_memory",
    "Preprocessing": "preprocessing",
    "cutout": "pixels",
    "decode": "decoding",
    "resize": "resizing",
}

__all__ = ["ImageSet", "InMemoryImages", "Preprocessing", "cutout", "decode", "resize"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nasforge.images' has no attribute {name!r}")
    return getattr(import_module(f"nasforge.images.{_HOMES[name]}"), name)
