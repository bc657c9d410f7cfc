"""Tells nasforge about the digits."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.data.digits.config import DigitsConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin of this folder."""
    return [
        Plugin(
            "data",
            "digits",
            "nasforge_plugins.data.digits.data:Digits",
            DigitsConfig,
            "1,797 handwritten digits, bundled with scikit-learn: nothing to download",
            tiny={"image_size": 8, "limit_train": 60, "limit_test": 20, "batch_size": 10},
        )
    ]
