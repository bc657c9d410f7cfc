"""Options of NumPy archives."""

from nasforge.images.config import ImageConfig, UserPath

__all__ = ["NpzConfig"]


class NpzConfig(ImageConfig):
    """Options of a data set in one NumPy archive."""

    path: UserPath
    """The `.npz` file. Arrays: `x_train` and `x_test`, uint8, N x height x width (grey) or N x height x
    width x channels; `y_train` and `y_test`, integers from 0; if wanted `classes`, names as text, by label.
    Without `classes` labels may have gaps: every label that occurs is a class."""
