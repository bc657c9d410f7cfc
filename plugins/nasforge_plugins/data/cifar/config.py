"""Options of CIFAR-10 and CIFAR-100."""

from nasforge.images.config import ImageConfig, UserPath

__all__ = ["CifarConfig"]


class CifarConfig(ImageConfig):
    """Options of CIFAR-10 and CIFAR-100."""

    root: UserPath | None = None
    """Folder of the archive `cifar-10-binary.tar.gz` or `cifar-100-binary.tar.gz`; it is downloaded there
    once if it is missing. None: the folder named by the environment variable NASFORGE_DATA, or else
    `~/.cache/nasforge`."""
