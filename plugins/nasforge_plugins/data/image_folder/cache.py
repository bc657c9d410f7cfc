"""Decoded images on disk, so that a folder is decoded once."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from nasforge.errors import CheckpointError
from nasforge.files import cache_folder
from nasforge.images.files import Folder
from nasforge.runtime.checkpoint import load_weights, save_weights
from nasforge_plugins.data.image_folder.config import ImageFolderConfig

__all__ = ["cache_path", "load", "store"]

FORMAT = 2
"""Part of every name: raise it when decoding changes."""


def cache_path(folder: Folder, config: ImageFolderConfig) -> Path:
    """Return where the decoded images of a folder belong.

    The name depends on names, sizes and times of change of all files, so a changed folder gets a new cache.

    Args:
        folder: The files.
        config: How they are decoded and resized.
    """
    how = [config.image_size, config.resize, config.background, config.channels, config.skip_broken]
    key = json.dumps([FORMAT, str(folder.path.resolve()), how, folder.stamps()])
    return cache_folder("image-folder") / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"


def load(path: Path, count: int) -> tuple[Tensor, dict[str, str]] | None:
    """Return cached images and the files that could not be read, or None if nothing can be used.

    Args:
        path: The result of `cache_path`.
        count: How many files there are.
    """
    if not path.exists():
        return None
    try:
        tensors, about = load_weights(path)
        images, broken = tensors["images"], dict(about["broken"])
    except (CheckpointError, KeyError) as error:
        warnings.warn(f"The image cache cannot be used and is made anew ({error})", stacklevel=2)
        return None
    return (images, broken) if images.dtype == torch.uint8 and len(images) + len(broken) == count else None


def store(path: Path, images: Tensor, broken: Mapping[str, str]) -> None:
    """Write images to the cache; where that is impossible, warn and continue without.

    Args:
        path: The result of `cache_path`.
        images: uint8 ``(N, S, S, C)``.
        broken: Why other files cannot be read.
    """
    # Runs that start together must not write into one file.
    own = path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}")
    try:
        save_weights(own, {"images": images}, {"broken": dict(broken)})
        own.replace(path)
    except (OSError, SafetensorError) as error:
        for left in (own, own.with_name(f".{own.name}.partial")):
            with suppress(OSError):
                left.unlink()
        warnings.warn(
            f"The decoded images cannot be kept in '{path.parent}' ({error}): every run decodes them. Set "
            "NASFORGE_CACHE to a folder that can be written to.",
            stacklevel=2,
        )
