"""Describes the observer to nasforge."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.observers.tensorboard.config import TensorBoardConfig


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return the observer of this folder."""
    return [
        Plugin(
            "observer",
            "tensorboard",
            "nasforge_plugins.observers.tensorboard.observer:TensorBoard",
            TensorBoardConfig,
            "Write metrics and architectures for TensorBoard (optional extra)",
        )
    ]
