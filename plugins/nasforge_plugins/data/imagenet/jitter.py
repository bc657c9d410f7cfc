"""Colour jitter of whole batches, every image by factors and in an order of its own.

torchvision's `v2.ColorJitter` computes one image per call. Here the numbers are drawn where an image is
decoded, and a batch is computed at once: on the GPU of the run, or in the loader process on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nasforge.runtime import send

__all__ = ["draw_jitter", "jitter"]

GRAY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601, rounded as in torchvision)."""


def draw_jitter(color: float, hue: float) -> Tensor:
    """Draw the jitter of one image from the global generator, in the order of `v2.ColorJitter`.

    Args:
        color: Brightness, contrast and saturation are multiplied by factors from max(0, 1 - color) to
            1 + color.
        hue: The hue is shifted by at most this share of the colour circle.

    Returns:
        ``(8,)``: the order of the four operations, then the factors of brightness, contrast and saturation
        and the shift of the hue. An operation without a range has factor 1 or shift 0, and draws nothing.
    """
    order = torch.randperm(4).float()
    low, high = max(0.0, 1.0 - color), 1.0 + color
    factors = [torch.empty(1).uniform_(low, high) if color else torch.ones(1) for _ in range(3)]
    shift = torch.empty(1).uniform_(-hue, hue) if hue else torch.zeros(1)
    return torch.cat([order, *factors, shift])


def jitter(images: Tensor, draws: Tensor) -> Tensor:
    """Apply the jitter of every image.

    Args:
        images: uint8 ``(B, 3, H, W)``, on any device.
        draws: ``(B, 8)``, rows of `draw_jitter`, on the CPU, so that nothing waits for a device.

    Returns:
        uint8 ``(B, 3, H, W)``. Equal to torchvision's functions in the drawn order on float images, rounded
        once at the end; on bytes those round down after each operation.
    """
    values = images.float()
    for place in range(4):
        for number, operation in enumerate((_brightness, _contrast, _saturation, _hue)):
            rows = (draws[:, place] == number).nonzero()[:, 0]
            if len(rows) == len(values):
                values = operation(values, send(draws[:, 4 + number], values.device).view(-1, 1, 1, 1))
            elif len(rows):
                strengths = send(draws[rows, 4 + number], values.device)
                rows = send(rows, values.device)
                values[rows] = operation(values[rows], strengths.view(-1, 1, 1, 1))
    return values.round_().to(torch.uint8)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp_(0, 255)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _gray(images).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, factor).clamp_(0, 255)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_gray(images), images, factor).clamp_(0, 255)


def _hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue in the HSV model; saturation and value stay."""
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    divisor = torch.where(chroma == 0, 1.0, chroma)
    sixths = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sixths = sixths + 6 * shift[:, 0]
    # Channel n of a hue h in sixths: v - c * max(0, min(k, 4 - k, 1)), k = (n + h) mod 6, n = 5, 3, 1.
    channels = []
    for start in (5, 3, 1):
        k = (sixths + start) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1))
    return torch.stack(channels, 1)


def _gray(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue).unsqueeze(1)
