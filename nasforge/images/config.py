"""Options that image data have in common. Torch-free: plugins' ``config.py`` files import it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from nasforge.config import PluginConfig

__all__ = [
    "HELD_OUT",
    "FolderConfig",
    "FolderOption",
    "FolderOptions",
    "FoundImages",
    "ImageConfig",
    "Level",
    "SplitConfig",
    "UserPath",
]

HELD_OUT = 0.2
"""Share of the training images used for testing if a folder has no test images."""


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user
        return path


UserPath = Annotated[Path, AfterValidator(_expanded)]
"""A path as a user writes it: ``~`` is the home folder, relative paths start at the current folder."""


Level = Annotated[int, Field(ge=0, le=255)]
"""Brightness of one channel."""


class SplitConfig(PluginConfig):
    """How training images are divided by role, and how many there are."""

    batch_size: int = Field(64, ge=1)
    """Images per batch, unless the reader of the batches asks for another number."""

    arch_share: float = Field(0.5, ge=0, lt=1)
    """Share of the training images in split `arch`, which trains or scores architectures; the images that
    neither `arch` nor `select` takes are split `weights`."""

    select_share: float = Field(0.0, ge=0, lt=1)
    """Share of the training images in split `select`, which picks among candidates."""

    holdout_share: float = Field(0.0, ge=0, lt=1)
    """Share of the training images in split `holdout`, which no other split and no training has: the final
    training can stop by it (`train.stop`)."""

    split_by: Literal["balanced", "position"] = "balanced"
    """`balanced`: every split has the same mix of classes, drawn anew for every seed. `position`: first
    `weights`, then `arch`, `select` and `holdout`, as in published code that is to be repeated; wrong where
    images come sorted by class."""

    limit_train: int | None = Field(None, ge=1)
    """Use only so many training images, with the classes balanced: for quick trials."""

    limit_test: int | None = Field(None, ge=1)
    """Use only so many test images, with the classes balanced: for quick trials."""

    @model_validator(mode="after")
    def _shares_leave_weights(self) -> SplitConfig:
        taken = self.arch_share + self.select_share + self.holdout_share
        if taken >= 1 and self.holdout_share:
            raise ValueError(
                f"arch_share {self.arch_share:g}, select_share {self.select_share:g} and holdout_share "
                f"{self.holdout_share:g} leave no image to train weights: keep their sum below 1"
            )
        if taken >= 1:
            raise ValueError(
                f"arch_share {self.arch_share:g} and select_share {self.select_share:g} leave no image to "
                "train weights: keep their sum below 1"
            )
        return self


class ImageConfig(SplitConfig):
    """Options of images that are held in memory."""

    image_size: int | None = Field(None, ge=4)
    """Side of the images in pixels; images of another shape are scaled to it by `resize`. None keeps the
    images as they are; they must then be square and of one size."""

    resize: Literal["crop", "fit", "stretch"] = "crop"
    """How an image that is not square becomes one. `crop`: the middle, cut at the longer side. `fit`: the
    whole image on the `background`. `stretch`: the whole image, distorted."""

    background: tuple[Level, Level, Level] = (255, 255, 255)
    """Red, green and blue from 0 to 255: the colour behind transparent pixels, and around images with
    `resize = "fit"`."""

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


@dataclass(frozen=True)
class FoundImages:
    """Contents of a folder of images that are sorted into sub-folders by class.

    Attributes:
        root: The folder that holds ``train``, as an absolute path.
        classes: Names of the classes.
        train: Number of training images.
        test: Number of images in the folder ``test`` or ``val``; 0 if there is none.
        held_out: Name of that folder; empty if there is none.
        side: Median of the shorter sides, in pixels.
        broken: Number of files that cannot be read; they are not counted.
    """

    root: Path
    classes: tuple[str, ...]
    train: int
    test: int
    held_out: str
    side: int
    broken: int = 0

    @property
    def left_to_train(self) -> int:
        """Number of training images, without the share `HELD_OUT` if there is no folder of test images."""
        return self.train if self.held_out else self.train - round(self.train * HELD_OUT)

    @property
    def left_to_test(self) -> int:
        """Number of test images, held out or in a folder of their own."""
        return self.test or self.train - self.left_to_train

    @property
    def summary(self) -> str:
        """Numbers of images and classes, in words."""
        return f"{self.train:,} training images in {len(self.classes)} classes"


class FolderOption(NamedTuple):
    """An option of a data plugin, chosen for a folder of images."""

    name: str
    """Name of the option."""

    value: Any
    """Its value, as plain data."""

    remark: str = ""
    """Comment beside it in the recipe."""

    by_size: bool = False
    """Whether the value depends on the side of the images; a profile with smaller images sets it as well."""


class FolderOptions(NamedTuple):
    """Options of a data plugin that make it read a folder of images."""

    options: tuple[FolderOption, ...]
    """The options, in the order in which a recipe lists them."""

    remark: str = ""
    """Comment beside the name of the plugin in the recipe."""


class FolderConfig(SplitConfig):
    """Options of data that can be read from a folder with a sub-folder per class.

    ``nasforge init --images`` asks the options of every installed data plugin that derive from this class.

    Examples:
        >>> class Options(FolderConfig):
        ...     root: UserPath
        ...     '''Folder with `train/<class>/*.jpg`.'''
        ...
        ...     @classmethod
        ...     def for_folder(cls, found, side):
        ...         return FolderOptions((FolderOption("root", str(found.root), found.summary),))
    """

    @classmethod
    def for_folder(cls, found: FoundImages, side: int) -> FolderOptions | None:
        """Choose options that read a folder; those of `SplitConfig` are set by the caller.

        Args:
            found: Contents of the folder. If it has no test images, the plugin holds out the share
                `HELD_OUT` of the training images.
            side: Wanted side of the images, in pixels.

        Returns:
            The options; None, the default, if the plugin does not read this layout.
        """
        return None
