"""Spoil images, five ways (after Hendrycks and Dietterich, ICLR 2019).

The images are those a network reads: normalised, so that a severity is in units of the standard deviation of
the data set and means the same for every data set. The published corruptions are defined on photographs of
224 pixels; these are our own versions for images of any size.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["CORRUPTIONS", "corrupt"]


def corrupt(images: Tensor, kind: str, severity: int, seed: int) -> Tensor:
    """Return spoilt images of the same shape.

    Args:
        images: ``(B, C, S, S)``, normalised.
        kind: One of `CORRUPTIONS`.
        severity: From 1, see `nasforge plugins show common-corruptions`.
        seed: What noise is drawn from, on the CPU, so that every candidate and every device sees the same.
    """
    generator = torch.Generator().manual_seed(seed)
    return CORRUPTIONS[kind](images, severity, generator)


def noise(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of 0.2 standard deviations per step."""
    drawn = torch.randn(images.shape, generator=generator).to(images)
    return images + 0.2 * severity * drawn


def blur(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Blur by a Gaussian of 1 % of the side per step, at least a quarter of a pixel."""
    side = images.shape[-1]
    sigma = severity * max(0.25, 0.01 * side)
    radius = min(math.ceil(3 * sigma), side - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    row = torch.exp(-offsets.square() / (2 * sigma**2))
    row = (row / row.sum()).to(images).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    across = F.conv2d(padded, row, groups=images.shape[1])
    return F.conv2d(across, row.transpose(2, 3), groups=images.shape[1])


def contrast(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Move all pixels to the mean of their image, by a factor of 0.7 per step."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + 0.7**severity * (images - mean)


def brightness(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Make images brighter by 0.3 standard deviations per step."""
    return images + 0.3 * severity


def pixelate(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Replace the image by one with a seventh of the pixels less per step, on each side."""
    side = images.shape[-1]
    coarse = max(2, round(side * (1 - severity / 7)))
    small = F.adaptive_avg_pool2d(images, coarse)
    return F.interpolate(small, size=(side, side), mode="nearest")


CORRUPTIONS: Mapping[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "brightness": brightness,
    "pixelate": pixelate,
}
"""What spoils images, by name."""
