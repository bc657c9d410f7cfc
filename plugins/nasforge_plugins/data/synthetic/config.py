"""Options of the made-up images."""

from pydantic import Field

from nasforge.images.config import ImageConfig

__all__ = ["SyntheticConfig"]


class SyntheticConfig(ImageConfig):
    """Options of the made-up images."""

    num_classes: int = Field(10, ge=2)
    """Number of classes."""

    image_size: int = Field(32, ge=4)
    """Side of the images in pixels."""

    in_channels: int = Field(3, ge=1)
    """Channels of the images."""

    train_images: int = Field(2000, ge=2)
    """Number of training images; the classes take turns."""

    test_images: int = Field(500, ge=1)
    """Number of test images; the classes take turns."""

    noise: float = Field(0.5, ge=0)
    """Standard deviation of the noise on every pixel, relative to that of the class patterns. At 0 all
    images of a class differ in brightness only."""

    flip: bool = False
    """Mirror every second training image, at random. Off: the patterns are not symmetric."""

    data_seed: int = 0
    """Seed that the images are drawn from: another number is another dataset. The seed of the run is not
    used, so that runs can be compared."""
