"""Decode images to bytes: upright, without transparency, in the channels that a network reads."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from nasforge.errors import ImageError

__all__ = ["Channels", "convert", "decode"]

Channels = Literal["rgb", "gray"]
"""Channels of a decoded image, in their order."""

WHITE = (255, 255, 255)
DEEP = ("I", "F")
"""Pillow's modes of more than 8 bits start with these."""

UNREADABLE = (OSError, SyntaxError, ValueError)
"""Errors of Pillow about decoded pixels that it cannot convert; other types are bugs and pass."""

ORIENTATION = 0x0112
"""Tag of EXIF: which way is up."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Turns that make an image upright, by its EXIF orientation."""


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
        ImageError: The file is missing, truncated or not an image.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # reading a named pipe would wait forever
            raise ValueError("not a regular file")
        with Image.open(path) as image:
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen types for damaged files
        raise ImageError(where, str(path), _reason(error)) from None
    try:
        return _converted(image, channels, background, upright)
    except UNREADABLE as error:
        raise ImageError(where, str(path), _reason(error)) from None


def convert(
    image: Image.Image,
    channels: Channels = "rgb",
    background: Sequence[int] = WHITE,
    *,
    upright: bool = True,
) -> np.ndarray:
    """Convert a Pillow image of any mode to bytes.

    Of an animation, the first frame is read. Grayscale images keep their values: with ``"rgb"``, all three
    channels have them.

    Args:
        image: The image.
        channels: ``"rgb"``, or ``"gray"``, the luma of ITU-R BT.601.
        background: Colour that transparent pixels are composed on: one value per channel, 0 to 255.
        upright: Whether the image is turned and mirrored as its EXIF orientation says, as viewers do.

    Returns:
        uint8 ``(H, W, C)``, a copy that may be written to.

    Raises:
        ImageError: The image is truncated, or has pixels of an unknown range.
    """
    name = getattr(image, "filename", "") or "?"
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # as in `decode`
        raise ImageError("images", name, _reason(error)) from None
    try:
        return _converted(image, channels, background, upright)
    except UNREADABLE as error:
        raise ImageError("images", name, _reason(error)) from None


def _converted(
    image: Image.Image, channels: Channels, background: Sequence[int], upright: bool
) -> np.ndarray:
    if upright and (turn := TURNS.get(_orientation(image))) is not None:
        image = image.transpose(turn)
    if image.mode.startswith(DEEP):
        image = _eight_bits(image)
    mode = "RGB" if channels == "rgb" else "L"
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        colour = tuple(background) if channels == "rgb" else (background[0],) * 3
        canvas = Image.new("RGBA", image.size, (*colour, 255))
        image = Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
    pixels = np.array(image.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known format"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not make the pixels unreadable
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """Keep the upper 8 of 16 bits, where Pillow's own conversion would clip at 255."""
    values = np.asarray(image)
    if image.mode == "F":
        raise ValueError("32-bit floating-point pixels have no fixed range; save it with 8 or 16 bits")
    deep = values.astype(np.int64)
    return Image.fromarray((deep.clip(0, 65535) // 256).astype(np.uint8))
