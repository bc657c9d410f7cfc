"""RandAugment and TrivialAugment on batches of bytes: drawn image by image, computed operation by operation.

torchvision's transforms of these names draw once per call, so that a batch would have one operation. Here its
public functions compute all images that drew the same operation at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from nasforge.images.mixing import global_seed

__all__ = ["BINS", "OPERATIONS", "Policy", "apply_operation", "augment", "erase", "strength"]

Policy = Literal["randaugment", "trivialaugment"]

BINS = 31
"""Number of magnitudes of an operation."""

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)

# The strength at the last magnitude: RandAugment (Cubuk et al., 2020) and the wide space of TrivialAugment
# (Müller and Hutter, 2021), as torchvision has them. Translations of RandAugment are shares of the side.
_STRONGEST: Mapping[Policy, Mapping[str, float]] = {
    "randaugment": {"shear": 0.3, "translate": 150.0 / 331.0, "rotate": 30.0, "color": 0.9, "posterize": 4.0},
    "trivialaugment": {"shear": 0.99, "translate": 32.0, "rotate": 135.0, "color": 0.99, "posterize": 6.0},
}
_SIGNED = range(OPERATIONS.index("shear_x"), OPERATIONS.index("posterize"))


def strength(policy: Policy, operation: str, magnitude: int, side: int) -> float:
    """Return the strength of an operation, without its sign.

    Args:
        policy: Which policy.
        operation: One of `OPERATIONS`.
        magnitude: From 0 to `BINS` - 1.
        side: Width or height of the images, in pixels, along which a translation goes.

    Returns:
        A shear, pixels of a translation, degrees of a rotation, a change of a factor, bits that posterizing
        keeps, or the share of the brightest value at which solarizing begins; 0 where there is no choice.
    """
    share, most = magnitude / (BINS - 1), _STRONGEST[policy]
    if operation.startswith("shear"):
        return share * most["shear"]
    if operation.startswith("translate"):
        return share * most["translate"] * (side if policy == "randaugment" else 1)
    if operation == "rotate":
        return share * most["rotate"]
    if operation == "posterize":
        return float(8 - round(share * most["posterize"]))
    if operation == "solarize":
        return 1.0 - share
    return share * most["color"] if operation in ("brightness", "color", "contrast", "sharpness") else 0.0


def apply_operation(images: Tensor, operation: str, value: float) -> Tensor:
    """Apply one operation to a batch.

    Args:
        images: uint8 ``(B, C, H, W)`` with one or three channels.
        operation: One of `OPERATIONS`.
        value: Signed strength, see `strength`.

    Returns:
        uint8 ``(B, C, H, W)``; pixels from outside the image are black.
    """
    return _functions()[operation](images, value)


def augment(
    images: Tensor, policy: Policy, generator: torch.Generator, count: int = 2, magnitude: int = 9
) -> Tensor:
    """Change every image by operations of its own.

    Args:
        images: uint8 ``(B, C, H, W)`` with one or three channels, on any device.
        policy: "randaugment" applies ``count`` operations of one ``magnitude``, "trivialaugment" one
            operation of a random magnitude.
        generator: Draws on the CPU.
        count: Operations in a row, for "randaugment".
        magnitude: From 0 to 30, for "randaugment".

    Returns:
        New images of the same shape.
    """
    batch, _, height, width = images.shape
    for _ in range(count if policy == "randaugment" else 1):
        drawn = torch.randint(len(OPERATIONS), (batch,), generator=generator)
        magnitudes = torch.full((batch,), magnitude)
        if policy == "trivialaugment":
            magnitudes = torch.randint(BINS, (batch,), generator=generator)
        negative = torch.rand(batch, generator=generator) < 0.5
        groups: dict[tuple[str, float], list[int]] = {}
        for row, (number, level, minus) in enumerate(
            zip(drawn.tolist(), magnitudes.tolist(), negative.tolist(), strict=True)
        ):
            name = OPERATIONS[number]
            value = strength(policy, name, level, width if name.endswith("_x") else height)
            groups.setdefault((name, -value if minus and number in _SIGNED else value), []).append(row)
        changed = images.clone()
        for (name, value), rows in groups.items():
            chosen = torch.tensor(rows, device=images.device)
            changed[chosen] = apply_operation(images[chosen], name, value)
        images = changed
    return images


def erase(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Set a rectangle in some images to zero (Zhong et al., 2020), drawn by torchvision's ``RandomErasing``.

    Args:
        images: Normalised ``(B, C, H, W)``: zero is the mean colour.
        share: Probability of each image.
        generator: Draws on the CPU.
    """
    from torchvision.transforms import v2

    transform = v2.RandomErasing(p=share)
    with global_seed(int(torch.randint(2**62, (), generator=generator))):
        return torch.stack([transform(image) for image in images])


@cache
def _functions() -> Mapping[str, Callable[[Tensor, float], Tensor]]:
    # Imported here, because it takes half a second and most trainings have no policy.
    from torchvision.transforms.v2 import functional as F

    def moved(images: Tensor, x: float, y: float) -> Tensor:
        return F.affine(images, angle=0.0, translate=[int(x), int(y)], scale=1.0, shear=[0.0, 0.0])

    def sheared(images: Tensor, x: float, y: float) -> Tensor:
        shear = [math.degrees(math.atan(value)) for value in (x, y)]
        return F.affine(images, angle=0.0, translate=[0, 0], scale=1.0, shear=shear, center=[0, 0])

    return {
        "identity": lambda images, value: images,
        "shear_x": lambda images, value: sheared(images, value, 0.0),
        "shear_y": lambda images, value: sheared(images, 0.0, value),
        "translate_x": lambda images, value: moved(images, value, 0.0),
        "translate_y": lambda images, value: moved(images, 0.0, value),
        "rotate": F.rotate,
        "brightness": lambda images, value: F.adjust_brightness(images, 1.0 + value),
        "color": lambda images, value: F.adjust_saturation(images, 1.0 + value),
        "contrast": lambda images, value: F.adjust_contrast(images, 1.0 + value),
        "sharpness": lambda images, value: F.adjust_sharpness(images, 1.0 + value),
        "posterize": lambda images, value: F.posterize(images, int(value)),
        "solarize": lambda images, value: F.solarize(images, 255.0 * value),
        "autocontrast": lambda images, value: F.autocontrast(images),
        "equalize": lambda images, value: F.equalize(images),
    }
