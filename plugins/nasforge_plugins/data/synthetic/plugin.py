"""Tells nasforge about the made-up images."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.data.synthetic.config import SyntheticConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugin of this folder."""
    return [
        Plugin(
            "data",
            "synthetic",
            "nasforge_plugins.data.synthetic.data:Synthetic",
            SyntheticConfig,
            "Made-up images of any size and number that can be learned: for tests and trials",
            tiny={"num_classes": 3, "image_size": 8, "train_images": 48, "test_images": 12, "batch_size": 8},
        )
    ]
