"""Options of image folders."""

from pydantic import Field

from nasforge.images.config import ImageConfig, UserPath

__all__ = ["ImageFolderConfig"]


class ImageFolderConfig(ImageConfig):
    """Options of images in folders named after their classes."""

    root: UserPath
    """Folder with `train/<class>/*.jpg` and `test/<class>/*.jpg` (also jpeg, png, bmp, webp)."""

    test_share: float = Field(0.0, ge=0, lt=1)
    """If there is no folder `test`: the share of the images in `train` that become the test split, with the
    classes balanced, the same for every seed."""

    cache: bool = True
    """Keep the decoded images in a file, so that the next run starts at once: in the folder named by the
    environment variable NASFORGE_CACHE, or else `~/.cache/nasforge`. Nothing is written below `root`."""

    threads: int = Field(8, ge=1)
    """Images decoded at the same time."""
