"""Batch-norm statistics of an architecture that inherits its weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nasforge.runtime import Runtime

__all__ = ["recalibrate"]


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Tensor], runtime: Runtime) -> None:
    """Replace the running statistics of all batch-norms by their means over some batches.

    Statistics of a supernet mix those of all architectures, which says nothing about one of them (Guo et al.,
    ECCV 2020, section 3.4).

    Args:
        network: Any network.
        batches: Images ``(B, C, S, S)``.
        runtime: Where and how it computes.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    training = network.training
    network.train()
    for count, images in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1.0 / count  # the mean of all batches so far; the first forgets what was there
        with runtime.autocast():
            network(runtime.prepare_images(images))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)
