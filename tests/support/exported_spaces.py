"""Small trained-like networks of every kind of space: built-in, a user's module, an example's package."""

import importlib.util
import sys
from pathlib import Path
from random import Random

import torch

from nasforge.nn import Network
from nasforge.plugins import Registry
from nasforge.space import Task

EXAMPLES = Path(__file__).parents[2] / "examples"

SPACES = ("darts", "nasbench201", "chain", "elastic-chain", "mobilenet-chain", "resnet-widths")
TASK = Task(3, 16, 4)


def space_of(name):
    """Return a space of small networks.

    Args:
        name: One of `SPACES`.
    """
    if name == "mobilenet-chain":
        module = _loaded("mobilenet_chain", EXAMPLES / "mobilenet_chain" / "mobilenet_chain.py")
        return module.MobileNetChain(module.MobileNetChainConfig(stem=4))
    if name == "resnet-widths":
        folder = str(EXAMPLES / "resnet-widths" / "src")
        if folder not in sys.path:
            sys.path.append(folder)
        (plugin,) = importlib.import_module("resnet_widths.plugin").nasforge_plugins()
    else:
        plugin = Registry.discover().get("space", name.removeprefix("elastic-"))
    elastic = {"elastic": True} if name.startswith("elastic-") else {}
    return plugin.load()(plugin.config.model_validate({**plugin.tiny, **elastic}))


def network_of(name, seed: int = 1) -> Network:
    """Return a network in evaluation mode whose norms have seen images, so that they are no identities.

    Args:
        name: One of `SPACES`.
        seed: Draws the architecture and the weights.
    """
    space = space_of(name)
    torch.manual_seed(seed)
    network = space.build(TASK, space.sample(Random(seed)))
    with torch.no_grad():
        for _ in range(3):
            network(images(8))
    return network.eval()


def images(count: int) -> torch.Tensor:
    """Return normalised images of noise, ``(count, 3, 16, 16)``."""
    return torch.randn(count, TASK.in_channels, TASK.image_size, TASK.image_size)


def _loaded(name: str, path: Path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
