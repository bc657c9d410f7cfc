"""Decode images to bytes: upright, without transparency, in the channels that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from nasforge.errors import DataError

__all__ = ["Channels", "convert", "decode"]

Channels = Literal["rgb", "gray"]
"""Channels of a decoded image, in their order."""

WHITE = (255, 255, 255)
DEEP = ("I", "F")
"""Pillow's modes of more than 8 bits start with these."""


def decode(
    path: Path,
    where: str,
    channels: Channels = "rgb",
    background: Sequence[int] = WHITE,
    *,
    upright: bool = True,
) -> np.ndarray:
    """Read one image file.

    Args:
        path: The file.
        where: Name of the option that points there, for the message.
        channels: See `convert`, also for the next two.
        background: Colour behind transparent pixels.
        upright: Whether the EXIF orientation is applied.

    Returns:
        uint8 ``(H, W, C)``, a copy that may be written to.

    Raises:
        DataError: The file is missing, truncated or not an image; names it.
    """
    try:
        with Image.open(path) as image:
            return convert(image, channels, background, upright=upright)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{where}: image '{path}' cannot be read ({error}). Replace it or remove it."
        ) from None


def convert(
    image: Image.Image,
    channels: Channels = "rgb",
    background: Sequence[int] = WHITE,
    *,
    upright: bool = True,
) -> np.ndarray:
    """Convert a Pillow image of any mode to bytes.

    Grayscale images keep their values: with ``"rgb"`` all three channels are equal to them.

    Args:
        image: The image. Of an animation, the first frame.
        channels: ``"rgb"``, or ``"gray"``, the luma of ITU-R BT.601.
        background: Colour that transparent pixels are composed on: one value per channel, 0 to 255.
        upright: Whether the image is turned and mirrored as its EXIF orientation says, as viewers do.

    Returns:
        uint8 ``(H, W, C)``, a copy that may be written to.

    Raises:
        OSError: The image is truncated.
    """
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(DEEP):
        image = _eight_bits(image)
    mode = "RGB" if channels == "rgb" else "L"
    if image.has_transparency_data:
        colour = tuple(background) if channels == "rgb" else (background[0],) * 3
        canvas = Image.new("RGBA", image.size, (*colour, 255))
        image = Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
    pixels = np.array(image.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _eight_bits(image: Image.Image) -> Image.Image:
    """Keep the upper 8 of 16 bits, where Pillow's own conversion would clip at 255."""
    values = np.asarray(image)
    if image.mode == "F":
        raise ValueError("32-bit floating-point pixels have no fixed range; save it with 8 or 16 bits")
    deep = values.astype(np.int64)
    return Image.fromarray((deep.clip(0, 65535) // 256).astype(np.uint8))
