"""Options of the digits."""

from nasforge.images.config import ImageConfig

__all__ = ["DigitsConfig"]


class DigitsConfig(ImageConfig):
    """Options of scikit-learn's handwritten digits."""

    image_size: int | None = 32
    """Side of the images in pixels; they are stored at 8 x 8 and scaled up."""

    flip: bool = False
    """Mirror every second training image, at random. Off: a mirrored digit is not a digit."""
