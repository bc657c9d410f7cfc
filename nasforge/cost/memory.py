"""Memory that a network needs for one image, counted without computing anything."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nasforge.arch import Arch
from nasforge.cost.live import LiveStorages
from nasforge.space import NetworkSpace, Scale, Task

__all__ = ["MIB", "memory_of", "peak_memory", "training_memory"]

MIB = 2**20


def peak_memory(network: nn.Module, task: Task) -> float:
    """Return the memory that running one image needs, in MiB: weights, buffers and the most maps at a time.

    A map counts from the operation that makes it to the last one that holds it, as Python frees it; the image
    counts too, and so do features that the network returns. Scratch space inside an operation and the
    allocator's own do not count. Networks on the meta device cost no time and no memory.

    Args:
        network: Called with images ``(1, C, S, S)``, in `eval` mode.
        task: The image size.
    """
    own: list[Tensor] = [*network.parameters(), *network.buffers()]
    device = own[0].device
    kept = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in own}
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), LiveStorages(kept) as live:
            network(torch.zeros(1, task.in_channels, task.image_size, task.image_size, device=device))
    finally:
        network.train(training)
    return (sum(kept.values()) + live.peak) / MIB


def training_memory(network: nn.Module, task: Task, images: int) -> float:
    """Return an estimate of the memory that a training step needs, in MiB, counted as by `peak_memory`.

    Forward and backward pass, gradients, and one number per weight for the optimiser's momentum. A step of a
    search that has two networks, or two optimisers per network, needs more.

    Args:
        network: In `train` mode; on the meta device nothing is computed.
        task: Image size and channels.
        images: Number of images in the batch.
    """
    own: list[Tensor] = [*network.parameters(), *network.buffers()]
    kept = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in own}
    momentum = sum(p.untyped_storage().nbytes() for p in network.parameters())
    size = task.image_size
    with torch.enable_grad(), LiveStorages(kept) as live:
        output = network(torch.zeros(images, task.in_channels, size, size, device=own[0].device))
        logits = output if isinstance(output, Tensor) else output.logits
        logits.sum().backward()
    network.zero_grad()
    return (sum(kept.values()) + momentum + live.peak) / MIB


def memory_of(space: NetworkSpace[Any], task: Task, arch: Arch, scale: Scale = "final") -> float:
    """Return `peak_memory` of an architecture's network, built without its weights.

    Args:
        space: Builds the network, on the meta device.
        task: Input and output sizes.
        arch: The architecture.
        scale: Which network.
    """
    with torch.device("meta"):
        network = space.build(task, arch, scale)
    return peak_memory(network, task)
