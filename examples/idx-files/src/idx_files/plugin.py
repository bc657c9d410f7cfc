"""Describes the images to nasforge. Every command imports this file: nothing heavy here."""

from nasforge.plugins import Plugin, hookimpl

from idx_files.config import IdxFilesDataConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the plugins of this package."""
    return [
        Plugin(
            "data",
            "idx-files",
            "idx_files.data:IdxFilesData",
            IdxFilesDataConfig,
            "The IDX files of MNIST, Fashion-MNIST, KMNIST and EMNIST",
            tiny={"batch_size": 8},
            api=1,
        )
    ]
