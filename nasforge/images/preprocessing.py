"""Preprocessing: from an image file to the numbers that a network reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch
from PIL import Image
from torch import Tensor

from nasforge.errors import DataError
from nasforge.images.decoding import convert, decode
from nasforge.images.resizing import Resize, resize

__all__ = ["Preprocessing"]

WHERE = "images"

_ACCEPTED = (
    "Give a file, a Pillow image (for an RGB array: PIL.Image.fromarray(array)), or a uint8 tensor (C, H, W)."
)

CHANNELS = {"rgb": 3, "gray": 1, "other": None}
"""Number of channels by name; None for any."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How the images of a network are prepared, in training without augmentation, in tests and afterwards.

    `read` makes bytes of the right size, `apply` makes normalised numbers.

    Attributes:
        size: Height and width in pixels.
        channels: ``"rgb"``, ``"gray"``, or ``"other"`` for channels that image files do not have.
        mean: Mean of every channel, for values from 0 to 1, that is subtracted.
        deviation: Standard deviation of every channel, that is divided by.
        resize: How images of another shape get the size; see `nasforge.images.resizing.resize`.
        shorter_side: Length of the shorter side before the middle is cut out; None: see there.
        background: Colour behind transparent pixels, and around images with ``"fit"``: one value per channel,
            0 to 255.
        exif: Whether the EXIF orientation of a file is applied.
    """

    size: tuple[int, int]
    channels: Literal["rgb", "gray", "other"]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    resize: Resize = "crop"
    shorter_side: int | None = None
    background: tuple[int, ...] = (255, 255, 255)
    exif: bool = True

    def __post_init__(self) -> None:
        if self.resize not in get_args(Resize) or self.channels not in CHANNELS:
            raise DataError(
                f"preprocessing: resize {self.resize!r} of channels {self.channels!r} is unknown. Known: "
                f"{', '.join(get_args(Resize))}; {', '.join(CHANNELS)}."
            )
        counts = {len(self.mean), len(self.deviation), len(self.background)}
        if len(counts) > 1 or counts != {CHANNELS[self.channels] or len(self.mean)}:
            raise DataError(
                f"preprocessing: {len(self.mean)} means, {len(self.deviation)} deviations and a background "
                f"of {len(self.background)} values for channels {self.channels!r}. Write one of each per "
                "channel."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Restore what `to_json` returned.

        Raises:
            DataError: A field is missing or unknown: another version of nasforge wrote it.
        """
        known = {f.name for f in fields(cls)}
        if strange := sorted(known ^ set(data)):
            raise DataError(
                f"preprocessing: {', '.join(map(repr, strange))} is missing or unknown. Use the version of "
                "nasforge that wrote it."
            )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)

    def decode(self, image: Path | str | Image.Image | Tensor, where: str = WHERE) -> Tensor:
        """Return one image as bytes in its own size.

        Args:
            image: A file, a Pillow image, or bytes ``(C, H, W)``.
            where: Start of the message of an error.

        Returns:
            uint8 ``(C, H, W)``.

        Raises:
            DataError: The file cannot be read, the channels are not those of the network, or it is something
                else.
        """
        if isinstance(image, Tensor):
            self._check_bytes(image, where)
            return image
        if not isinstance(image, str | Path | Image.Image):
            raise DataError(f"{where}: got an object of type {type(image).__name__!r}. {_ACCEPTED}")
        if self.channels == "other":
            raise DataError(
                f"{where}: these networks read {len(self.mean)} channels, which image files do not have. "
                "Give uint8 tensors (C, H, W)."
            )
        if isinstance(image, Image.Image):
            pixels = convert(image, self.channels, self.background, upright=self.exif)
        else:
            pixels = decode(Path(image), where, self.channels, self.background, upright=self.exif)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def read(self, image: Path | str | Image.Image | Tensor, where: str = WHERE) -> Tensor:
        """Decode and resize one image; see `decode` for the arguments and errors.

        Returns:
            uint8 ``(C, size[0], size[1])``.
        """
        return self.resized(self.decode(image, where).permute(1, 2, 0)[None])[0].permute(2, 0, 1)

    def resized(self, images: Tensor) -> Tensor:
        """Resize bytes ``(N, H, W, C)`` to the size."""
        return resize(
            images, self.size, self.resize, shorter_side=self.shorter_side, background=self.background
        )

    def apply(self, images: Tensor) -> Tensor:
        """Normalise bytes ``(N, C, H, W)`` of any size.

        Returns:
            float32 ``(N, C, H, W)``, in memory as channels last.
        """
        return self.normalization(images.device, images.shape[3])(images.permute(0, 2, 3, 1))

    def normalization(self, device: torch.device, width: int | None = None) -> Callable[[Tensor], Tensor]:
        """Return the function of `apply` for bytes ``(N, H, W, C)``, with its constants on a device.

        Args:
            device: Where the images are.
            width: Width of the images in pixels; None: that of the size.
        """
        width = self.size[1] if width is None else width
        # (x / 255 - mean) / deviation as one multiplication and one addition, laid out as a row of pixels.
        pairs = list(zip(self.mean, self.deviation, strict=True))
        scale = torch.tensor([1 / (255 * s) for _, s in pairs]).repeat(width).to(device)
        shift = torch.tensor([-m / s for m, s in pairs]).repeat(width).to(device)

        def normalize(pixels: Tensor) -> Tensor:
            batch, height, _, channels = pixels.shape
            # Rows of whole lines, not of three numbers: the CPU then uses its vector units.
            lines = pixels.reshape(batch, height, width * channels).float()
            return lines.mul_(scale).add_(shift).view(batch, height, width, channels).permute(0, 3, 1, 2)

        return normalize

    def _check_bytes(self, image: Tensor, where: str) -> None:
        if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != len(self.mean):
            raise DataError(
                f"{where}: got {str(image.dtype).removeprefix('torch.')} of shape {tuple(image.shape)}. Give "
                f"uint8 of shape ({len(self.mean)}, height, width), with values from 0 to 255."
            )
