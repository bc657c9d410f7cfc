"""Tells nasforge about CIFAR-10 and CIFAR-100."""

from nasforge.plugins import Plugin, hookimpl
from nasforge_plugins.data.cifar.config import CifarConfig

__all__ = ["nasforge_plugins"]


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Describe the plugins of this folder."""
    return [
        Plugin(
            "data",
            name,
            f"nasforge_plugins.data.cifar.data:{target}",
            CifarConfig,
            f"60,000 colour photos of 32 x 32 pixels in {classes} classes; downloaded once",
        )
        for name, target, classes in (("cifar10", "Cifar10", 10), ("cifar100", "Cifar100", 100))
    ]
