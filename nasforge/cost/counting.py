"""Costs of a network: parameters and multiply-accumulate operations (MACs)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nasforge.arch import Arch
from nasforge.nn import Network
from nasforge.space import NetworkSpace, PlainNetworks, Scale, Task

__all__ = ["Cost", "count_parameters", "measure", "measure_arch", "plainly_computed"]


@dataclass(frozen=True)
class Cost:
    """Size of a network.

    Attributes:
        params: Number of parameters.
        macs: Multiply-accumulate operations of convolutions and linear layers, for one image.
    """

    params: int
    macs: int


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters; shared ones count once."""
    return sum(p.numel() for p in module.parameters())


def measure(network: nn.Module, task: Task) -> Cost:
    """Count parameters and MACs by running one blank image.

    The counter of torch counts a multiply-add as two operations, hence the half, and knows torch's own
    operators alone, so the network computes by these meanwhile. Networks on the meta device cost no time and
    no memory.

    Args:
        network: Called with images ``(1, C, S, S)``.
        task: The image size.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports Triton, which takes 70 MiB

    device = next(network.parameters()).device
    image = torch.zeros(1, task.in_channels, task.image_size, task.image_size, device=device)
    training = network.training
    faster = [m for m in network.modules() if isinstance(m, Network) and not m.plain]
    network.eval()
    for module in faster:
        module.plain = True
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        network.train(training)
        for module in faster:
            module.plain = False
    return Cost(count_parameters(network), counter.get_total_flops() // 2)


def measure_arch(
    space: NetworkSpace[Any], task: Task, arch: Arch | None = None, scale: Scale = "final"
) -> Cost:
    """Count parameters and MACs of an architecture's network, or of the supernet, without its weights.

    Args:
        space: Builds the network, on the meta device.
        task: Input and output sizes.
        arch: The architecture; None measures the supernet.
        scale: Which network; see `NetworkSpace.build`.
    """
    with torch.device("meta"):
        network = space.build(task, arch, scale)
    return measure(network, task)


def plainly_computed(space: NetworkSpace[Any]) -> NetworkSpace[Any]:
    """Return a space whose networks call their layers as modules and can be differentiated twice.

    A space without the capability `PlainNetworks` is returned as it is.

    Args:
        space: Any space with networks.
    """
    return space.with_plain_networks() if isinstance(space, PlainNetworks) else space
