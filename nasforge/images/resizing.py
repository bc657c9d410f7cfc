"""Resize images of any shape to the size that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Resize", "resize"]

Resize = Literal["crop", "fit", "stretch"]
"""How another shape becomes that of the network."""

CHUNK = 2048
"""Images that are converted at once: bounds the memory that is needed beside the images themselves."""


def resize(
    images: Tensor,
    size: tuple[int, int],
    rule: Resize = "crop",
    *,
    shorter_side: int | None = None,
    background: Sequence[int] = (255, 255, 255),
) -> Tensor:
    """Resize a batch with bilinear interpolation, smoothed when it shrinks.

    An image has the same result alone and in a batch.

    Args:
        images: uint8 ``(N, H, W, C)``.
        size: Wanted height and width, in pixels.
        rule: ``"crop"`` keeps proportions, fills the size and cuts off what is left over, equally on both
            sides. ``"fit"`` keeps proportions and shows the whole image on the background. ``"stretch"``
            changes proportions.
        shorter_side: With ``"crop"``, the length that the shorter side is scaled to before the middle is cut
            out, in pixels: the usual 256 before 224 of ImageNet. None, or less than
            the size, scales no further than needed.
        background: Colour around the image with ``"fit"``: one value per channel, 0 to 255.

    Returns:
        uint8 ``(N, size[0], size[1], C)``.
    """
    height, width = images.shape[1:3]
    if rule == "stretch":
        return _scaled(images, size).contiguous()
    if rule == "fit":
        return _on_background(_scaled(images, _fitting((height, width), size)), size, background)
    return _middle(_scaled(images, _covering((height, width), size, shorter_side)), size)


def _covering(shape: tuple[int, int], size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """Return the smallest scaled shape that covers ``size``; the longer side is rounded down."""
    height, width = shape
    tall, wide = (max(side, shorter_side or 0) for side in size)
    # Compare tall/height with wide/width in whole numbers, so that no rounding decides.
    if tall * width >= wide * height:
        return tall, max(wide, tall * width // height)
    return max(tall, wide * height // width), wide


def _fitting(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest scaled shape that fits into ``size``."""
    (height, width), (tall, wide) = shape, size
    if tall * width <= wide * height:
        return tall, max(1, min(wide, round(tall * width / height)))
    return max(1, min(tall, round(wide * height / width))), wide


def _middle(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut out the middle; half a pixel is rounded as torchvision's ``center_crop`` does."""
    height, width = images.shape[1:3]
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return images[:, top : top + size[0], left : left + size[1]].contiguous()


def _on_background(images: Tensor, size: tuple[int, int], background: Sequence[int]) -> Tensor:
    count, height, width, channels = images.shape
    canvas = (
        torch.tensor(background, dtype=torch.uint8, device=images.device)
        .expand(count, *size, channels)
        .clone()
    )
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[:, top : top + height, left : left + width] = images
    return canvas


def _scaled(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[1:3] == size:
        return images
    if size[1] == 1 < size[0]:
        # torch 2.14 repeats the first row in results that are one pixel wide; one pixel high is right.
        return _scaled(images.transpose(1, 2), (1, size[0])).transpose(1, 2)
    chunks = []
    for chunk in images.split(CHUNK):
        planes = chunk.permute(0, 3, 1, 2).contiguous().float()
        # In float32 and rounded once: torch's kernels for bytes differ from processor to processor.
        scaled = F.interpolate(planes, size, mode="bilinear", antialias=True)
        chunks.append(scaled.round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(chunks).permute(0, 2, 3, 1)
