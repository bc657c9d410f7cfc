"""Operations on whole batches of images: crop, mirror, cut out, measure."""

from __future__ import annotations

import torch
from torch import Tensor

from nasforge.runtime import send

__all__ = ["channel_statistics", "crop_and_flip", "cutout", "outside"]

CHUNK = 2048
"""Images that are converted at once: bounds the memory that is needed beside the images themselves."""


def crop_and_flip(images: Tensor, padding: int, corners: Tensor, mirrored: Tensor) -> Tensor:
    """Cut a window of the images' own size out of each padded image, and mirror some.

    Windows are copied line by line, not pixel by pixel: on a CPU that is most of the time.

    Args:
        images: ``(B, H, W, C)``, any type.
        padding: Zeros on every side.
        corners: Upper and left end of each window in the padded image ``(2, B)``, from 0 to ``2 * padding``;
            on the CPU, so that nothing waits for a device.
        mirrored: Which images to mirror, left to right ``(B,)``, bool; on the CPU.

    Returns:
        ``(B, H, W, C)``, of the same type.
    """
    batch, height, width, channels = images.shape
    flipped = mirrored.nonzero()[:, 0]
    padded = images.new_zeros(batch + len(flipped), height + 2 * padding, width + 2 * padding, channels)
    inner = padded[:, padding : padding + height, padding : padding + width]
    inner[:batch] = images
    inner[batch:] = images.index_select(0, send(flipped, images.device)).flip(2)

    place = torch.arange(batch).index_copy_(0, flipped, torch.arange(batch, len(padded)))
    left = torch.where(mirrored, 2 * padding - corners[1], corners[1])
    first = (place * padded.shape[1] + corners[0]) * padded.shape[2] + left
    lines = (first[:, None] + padded.shape[2] * torch.arange(height)) * channels
    numbers, line = padded.view(-1), width * channels
    windows = numbers.as_strided((len(numbers) - line + 1, line), (1, 1))  # a line from every number on
    return windows.index_select(0, send(lines.view(-1), images.device)).view(images.shape)


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Zero one square in each image (DeVries and Taylor, 2017), around a uniform pixel.

    The square is clipped at the border. Apply it after normalisation: zero is then the mean colour.

    Args:
        images: ``(B, C, H, W)``.
        size: Side of the square, in pixels.
        generator: Draws the centres; on any device.

    Returns:
        New images, in the memory layout of the old ones.
    """
    batch, _, height, width = images.shape
    rows = torch.randint(0, height, (batch,), generator=generator, device=generator.device)
    columns = torch.randint(0, width, (batch,), generator=generator, device=generator.device)
    centres = send(torch.stack([rows, columns]), images.device)
    return images * outside(centres, height, width, size).to(images.dtype)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of every channel, for values from 0 to 1.

    The sums are exact integers, so the result does not depend on threads or devices. A channel without
    variation gets the deviation of one grey level.

    Args:
        images: uint8 ``(N, H, W, C)``.
    """
    count = images[..., 0].numel()
    total = torch.zeros(images.shape[-1], dtype=torch.int64)
    squares = torch.zeros_like(total)
    for chunk in images.split(CHUNK):
        values = chunk.flatten(0, 2).to(torch.int64)
        total += values.sum(0)
        squares += (values * values).sum(0)
    means = [t / count for t in total.tolist()]
    variances = [s / count - m * m for s, m in zip(squares.tolist(), means, strict=True)]
    return tuple(m / 255 for m in means), tuple(max(v, 1.0) ** 0.5 / 255 for v in variances)


def outside(centres: Tensor, height: int, width: int, size: int) -> Tensor:
    """Return a mask that is 0 in one square per image and 1 elsewhere.

    Args:
        centres: Row and column of each square's middle ``(2, B)``.
        height: Height of the images.
        width: Width of the images.
        size: Side of the squares; at the border they are clipped.

    Returns:
        ``(B, 1, H, W)``, float32.
    """
    starts = centres[:, :, None] - size // 2
    rows = torch.arange(height, device=centres.device) - starts[0]
    columns = torch.arange(width, device=centres.device) - starts[1]
    inside_rows = (rows >= 0) & (rows < size)
    inside_columns = (columns >= 0) & (columns < size)
    return (~(inside_rows[:, None, :, None] & inside_columns[:, None, None, :])).float()
