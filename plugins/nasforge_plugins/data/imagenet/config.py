"""Options of ImageNet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nasforge.images.config import FolderConfig, FolderOption, FolderOptions, FoundImages, Level, UserPath

__all__ = ["ImagenetConfig"]


class ImagenetConfig(FolderConfig):
    """Options of ImageNet and other image folders that do not fit into memory."""

    root: UserPath
    """Folder with `train/<class>/*.JPEG` and `val/<class>/*.JPEG` (also jpg, png, bmp, webp). The images in
    `val` are the test split."""

    batch_size: int = Field(128, ge=1)
    """Images per batch, unless the reader of the batches asks for another number."""

    image_size: int = Field(224, ge=8)
    """Side of the images in pixels."""

    resize: Literal["crop", "fit", "stretch"] = "crop"
    """How a plain (not augmented) image gets this size. `crop`: the middle, cut out as `resize_size` says.
    `fit`: the whole image on the `background`. `stretch`: the whole image, distorted."""

    resize_size: int = Field(256, ge=8)
    """With `resize = "crop"`: the length to which the shorter side of a plain image is scaled before the
    middle square of `image_size` is cut out."""

    background: tuple[Level, Level, Level] = (255, 255, 255)
    """Red, green and blue from 0 to 255: the colour behind transparent pixels, and around images with
    `resize = "fit"`."""

    min_crop_share: float = Field(0.08, gt=0, le=1)
    """A training image is a random part of the photo; the smallest share of its area."""

    flip: bool = True
    """Mirror every second training image, at random."""

    color_jitter: float = Field(0.4, ge=0)
    """Range by which brightness, contrast and saturation of a training image vary; 0: not at all."""

    hue_jitter: float = Field(0.2, ge=0, le=0.5)
    """Range by which the hue of a training image varies, as a share of the colour circle; 0: not at all."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of every channel, for pixel values from 0 to 1, that is subtracted from all images."""

    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Standard deviation of every channel, by which all images are divided."""

    skip_broken: bool = False
    """Leave out images that cannot be read, with a warning that lists them. All images are then decoded once
    before the run begins, and what was found is kept in the folder named by the environment variable
    NASFORGE_CACHE, or else `~/.cache/nasforge`. Off: they are an error when they are met."""

    sample_share: float = Field(1.0, gt=0, le=1)
    """Share of the images of `weights`, `arch` and `select` that one pass reads, others in every pass: makes
    the epochs of a search shorter (0.2 in the official CDARTS). `full` and `test` are always read whole."""

    subset: Literal["all", "pc-darts"] = "all"
    """Images that a search may use. `all`: divided by `arch_share` and `select_share`. `pc-darts`: 10 % of
    each class for split `weights` and 2.5 % for `arch`, drawn with the seed (Xu et al., ICLR 2020); split
    `full` is still all images."""

    cached_side: int | None = Field(None, ge=8)
    """Decode every training photo once, scale its shorter side to this many pixels, and keep the bytes in
    the folder named by the environment variable NASFORGE_CACHE, or else `~/.cache/nasforge`: some 260 kB per
    photo for 256. Training passes read them from there; plain passes read the files. Unset: no cache."""

    workers: int | None = Field(None, ge=0)
    """Processes that decode and augment, for each split that is read; they live as long as the run. Unset:
    one per core, divided among the processes of the run; 0: the run does it itself. The images do not depend
    on it."""

    @model_validator(mode="after")
    def _subset_has_no_select(self) -> ImagenetConfig:
        if self.subset != "all" and self.select_share:
            raise ValueError(
                f"subset {self.subset!r} has no split select, but select_share is {self.select_share:g}: "
                "leave one of them out"
            )
        return self

    @classmethod
    def for_folder(cls, found: FoundImages, side: int) -> FolderOptions | None:
        """Read ``train`` and ``val``; plain images are scaled to 8/7 of the side before the crop."""
        if found.held_out != "val":
            return None
        size = f"the images have about {found.side} pixels"
        options = [
            FolderOption("root", str(found.root), found.summary),
            FolderOption("image_size", side, size, by_size=True),
            FolderOption("resize_size", -(-side * 8 // 7), by_size=True),
        ]
        if found.broken:
            options.append(FolderOption("skip_broken", True, f"{found.broken:,} cannot be read"))
        return FolderOptions(tuple(options), "train/ and val/, decoded while training")
