"""Options of image folders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nasforge.images.config import (
    HELD_OUT,
    FolderConfig,
    FolderOption,
    FolderOptions,
    FoundImages,
    ImageConfig,
    UserPath,
)

__all__ = ["ImageFolderConfig"]


class ImageFolderConfig(ImageConfig, FolderConfig):
    """Options of images in folders named after their classes."""

    root: UserPath
    """Folder with `train/<class>/*.jpg` and `test/<class>/*.jpg` (also jpeg, png, bmp, webp)."""

    test_share: float = Field(0.0, ge=0, lt=1)
    """If there is no folder `test`: the share of the images in `train` that become the test split, with the
    classes balanced, the same for every seed."""

    channels: Literal["rgb", "gray"] = "rgb"
    """Channels that networks read. Grayscale files keep their values in either; `gray` makes colour images
    gray, and networks of one channel."""

    skip_broken: bool = False
    """Leave out images that cannot be read, with a warning that lists them. Off: they are an error."""

    cache: bool = True
    """Keep the decoded images in a file, so that the next run starts at once: in the folder named by the
    environment variable NASFORGE_CACHE, or else `~/.cache/nasforge`. Nothing is written below `root`."""

    threads: int = Field(8, ge=1)
    """Images decoded at the same time."""

    @classmethod
    def for_folder(cls, found: FoundImages, side: int) -> FolderOptions | None:
        """Read ``train`` and ``test``, or ``train`` alone."""
        if found.held_out not in ("", "test"):
            return None
        size = f"the images have about {found.side} pixels; smaller is faster"
        options = [
            FolderOption("root", str(found.root), found.summary),
            FolderOption("image_size", side, size, by_size=True),
        ]
        if not found.held_out:
            options.append(FolderOption("test_share", HELD_OUT, "there is no folder 'test'"))
        if found.broken:
            options.append(FolderOption("skip_broken", True, f"{found.broken:,} cannot be read"))
        return FolderOptions(tuple(options))
