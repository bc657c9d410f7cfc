"""Proxies that see the size of a network only: what every other proxy must beat."""

from __future__ import annotations

from torch import Tensor

from nasforge.cost import count_parameters, measure
from nasforge.nn import Network
from nasforge.space import Task
from nasforge_plugins.evaluators.zero_cost.network import layers

__all__ = ["flops", "l2_norm", "params"]


def params(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the number of parameters (White et al., "A deeper look at zero-cost proxies", 2022).

    Args:
        network: Any network.
        images: Not read.
        labels: Not read.
    """
    return float(count_parameters(network))


def flops(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the multiply-accumulate operations for one image, of convolutions and linear layers.

    Args:
        network: Any network.
        images: ``(B, C, S, S)``; only its shape counts.
        labels: Not read.
    """
    return float(measure(network, Task(images.shape[1], images.shape[2])).macs)


def l2_norm(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the sum over layers of the Euclidean norm of their weights (Abdelfattah et al., 2021).

    Args:
        network: Any network.
        images: Not read.
        labels: Not read.
    """
    return sum(float(layer.weight.detach().norm()) for layer in layers(network))
