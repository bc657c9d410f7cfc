"""Measurements of the loss around the current architecture parameters, without side effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.nn import OptionWeights, one_hot
from nasforge.seeding import derive_seed
from nasforge.training.loops import isolated_random
from nasforge.training.optim import frozen
from nasforge_plugins.searchers.gradient.bilevel import restoring
from nasforge_plugins.searchers.gradient.curvature import dominant_eigenvalue, hessian_product

__all__ = ["Landscape"]

PASS = 1_000_000
"""The pass over the ``arch`` split whose first batch is looked at: none that a search comes to."""


class Landscape:
    """Losses and curvature of a supernet on one batch of the ``arch`` split, the same in every call.

    The network runs in float32 with batch statistics: running ones belong to the mixture of options, and
    would wrong a single architecture. Weights, buffers, gradients and random generators are afterwards as
    they were.

    Args:
        ctx: The parts of the run.
        network: The supernet.
        parameters: The architecture parameters.
        weights: Returns the option weights they stand for, differentiable and without noise.
    """

    def __init__(
        self,
        ctx: Context,
        network: nn.Module,
        parameters: nn.Module,
        weights: Callable[[], OptionWeights],
    ) -> None:
        self._ctx, self._network, self._weights = ctx, network, weights
        self._parameters = parameters
        self._seed = derive_seed(ctx.seed, "landscape")

    def eigenvalue(self, steps: int) -> float:
        """Return the dominant eigenvalue of the Hessian of the loss in the architecture parameters.

        Args:
            steps: The most Lanczos steps.
        """
        parameters = list(self._parameters.parameters())
        size = sum(p.numel() for p in parameters)
        noise = torch.Generator().manual_seed(self._seed)
        start = torch.randn(size, generator=noise, dtype=torch.float64)
        with self._untouched(), frozen(self._network.parameters()):
            product = hessian_product(parameters, lambda: self._loss(self._weights()))
            found = dominant_eigenvalue(product, start, steps=steps)
        return self._agreed(found)

    @torch.no_grad()
    def gap(self, arch: Arch) -> float:
        """Return what discretising costs: the loss of one architecture minus that of the mixture.

        Args:
            arch: The architecture; it runs inside the supernet, with the weights it has there.
        """
        alone = one_hot(self._ctx.space.choices, arch, device=self._ctx.runtime.device)
        with self._untouched():
            found = float(self._loss(alone) - self._loss(self._weights()))
        return self._agreed(found)

    def _agreed(self, value: float) -> float:
        """Return what rank 0 measured: on GPUs the last bits may differ between processes."""
        return float(self._ctx.runtime.shards.agreed(value))

    @cached_property
    def _batch(self) -> tuple[Tensor, Tensor]:
        assert self._ctx.data is not None, "gradient searchers need images"
        images, labels = next(iter(self._ctx.data.batches("arch", epoch=PASS)))
        return self._ctx.runtime.prepare_images(images), labels

    def _loss(self, weights: OptionWeights) -> Tensor:
        images, labels = self._batch
        # Networks that draw must draw the same in every pass: a difference of gradients would be noise.
        with isolated_random(self._ctx.runtime.device, self._seed):
            return cross_entropy(self._network(images, weights).logits, labels)

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        modes = {module: module.training for module in self._network.modules()}
        self._network.train()
        try:
            with restoring(self._network):
                yield
        finally:
            for module, training in modes.items():
                module.training = training
