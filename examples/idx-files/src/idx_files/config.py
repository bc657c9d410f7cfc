"""Options of the images."""

from nasforge.images.config import ImageConfig, UserPath

__all__ = ["IdxFilesDataConfig"]


class IdxFilesDataConfig(ImageConfig):
    """Where the files are; batch size, splits and augmentation come with `ImageConfig`."""

    root: UserPath | None = None
    """Folder of the four files, such as `train-images-idx3-ubyte.gz`, packed or not. None: the folder `idx`
    inside the one that the environment variable NASFORGE_DATA names, or inside the user's data folder."""

    subset: str = ""
    """Part of an EMNIST archive, such as "letters" or "balanced"; empty for MNIST, Fashion-MNIST, KMNIST."""

    upright: bool = False
    """Swap rows and columns: the letters of EMNIST are stored lying down."""

    classes: tuple[str, ...] = ()
    """Names of the classes by label; left out, they are called by their numbers."""

    flip: bool = False
    """Mirror every second training image, at random. Off: digits and letters have a direction."""
