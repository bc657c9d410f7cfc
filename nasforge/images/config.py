"""Options that image data have in common. Torch-free: plugins' ``config.py`` files import it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from nasforge.config import PluginConfig

__all__ = ["ImageConfig", "SplitConfig", "UserPath"]

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path as a user writes it: ``~`` is the home folder, relative paths start at the current folder."""


class SplitConfig(PluginConfig):
    """How training images are divided by role, and how many there are."""

    batch_size: int = Field(64, ge=1)
    """Images per batch, unless whoever reads the batches asks for another number."""

    arch_share: float = Field(0.5, ge=0, lt=1)
    """Share of the training images in split `arch`, which trains or scores architectures; the images that
    neither `arch` nor `select` takes are split `weights`."""

    select_share: float = Field(0.0, ge=0, lt=1)
    """Share of the training images in split `select`, which picks among candidates."""

    split_by: Literal["balanced", "position"] = "balanced"
    """`balanced`: every split has the same mix of classes, drawn anew for every seed. `position`: first
    `weights`, then `arch`, then `select`, as in the official CDARTS; wrong where images come sorted by
    class."""

    limit_train: int | None = Field(None, ge=1)
    """Use only so many training images, with the classes balanced: for quick trials."""

    limit_test: int | None = Field(None, ge=1)
    """Use only so many test images, with the classes balanced: for quick trials."""

    @model_validator(mode="after")
    def _shares_leave_weights(self) -> SplitConfig:
        taken = self.arch_share + self.select_share
        if taken >= 1:
            raise ValueError(
                f"arch_share {self.arch_share:g} and select_share {self.select_share:g} leave no image to "
                "train weights: keep their sum below 1"
            )
        return self


class ImageConfig(SplitConfig):
    """Options of images that are held in memory."""

    image_size: int | None = Field(None, ge=4)
    """Side of the images in pixels: the middle square is cut out and scaled to it. None keeps the images
    as they are; they must then be square and of one size."""

    padding: int | None = Field(None, ge=0)
    """Black pixels around a training image before a random crop of the original size; 0: no crop. None: an
    eighth of the side, which is 4 at 32 x 32 and 2 at 16 x 16."""

    flip: bool = True
    """Mirror every second training image, at random: left becomes right."""

    cutout: int = Field(0, ge=0)
    """Side of a square at a random place of every training image that is set to zero; 0: none."""

    mean: tuple[float, ...] | None = None
    """Mean of every channel, for pixel values from 0 to 1, that is subtracted from all images. None: the
    published value of the data set, or else what the training images have."""

    std: tuple[float, ...] | None = None
    """Standard deviation of every channel, by which all images are divided. None: as for `mean`."""

    @model_validator(mode="after")
    def _std_is_positive(self) -> ImageConfig:
        if self.std is not None and min(self.std, default=0.0) <= 0:
            raise ValueError(f"std {list(self.std)}: images are divided by it, so every number is above 0")
        return self
