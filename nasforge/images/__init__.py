"""Image data: datasets in memory, folders of files, splits, and batched augmentation.

Names are imported when first used, because plugins' ``config.py`` files import ``nasforge.images.config``,
which has to stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasforge.images.in_memory import ImageSet, InMemoryImages, cutout, square

__all__ = ["ImageSet", "InMemoryImages", "cutout", "square"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nasforge.images' has no attribute {name!r}")
    return getattr(import_module("nasforge.images.in_memory"), name)
