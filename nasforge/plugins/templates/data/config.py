"""Options of the images."""

from pydantic import Field, PositiveInt

from nasforge.images.config import ImageConfig

__all__ = ["TemplateDataConfig"]


class TemplateDataConfig(ImageConfig):
    """Options of the drawn images; batch size, splits and augmentation come with `ImageConfig`."""

    image_size: int | None = Field(32, ge=8)
    """Side of the images in pixels."""

    train_images: PositiveInt = 1000
    """Number of training images."""

    test_images: PositiveInt = 200
    """Number of test images."""

    flip: bool = False
    """Mirror every second training image, at random. Off: mirrored, the two diagonals are each other."""
