"""Mixtures of the images of a batch, with the same mixtures of their labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["Mixing", "global_seed"]


class Mixing:
    """Mixes every image of a batch with its neighbour, by torchvision's transforms.

    mixup (Zhang et al., 2018) takes ``λ x_i + (1 - λ) x_j`` with ``λ`` from Beta(a, a), CutMix (Yun et al.,
    2019) puts a rectangle of ``x_j`` with about the area ``1 - λ`` into ``x_i``; the targets are
    ``λ y_i + (1 - λ) y_j``, with the share of pixels that is left as ``λ`` in CutMix. All images of a batch
    have one ``λ``.

    Args:
        mixup: ``a`` of mixup; 0 for none.
        cutmix: ``a`` of CutMix; 0 for none. With both, each batch has one of them, at equal chances.
        share: Share of the batches that are mixed.
        classes: Number of classes.
    """

    def __init__(self, mixup: float, cutmix: float, share: float, classes: int) -> None:
        # Imported here, because it takes half a second and most trainings do not mix.
        from torchvision.transforms import v2

        self._transforms = [
            transform(alpha=alpha, num_classes=classes)
            for transform, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix))
            if alpha
        ]
        self._share = share

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mix a batch, or leave it as it is.

        Args:
            images: ``(B, C, H, W)``, float.
            labels: ``(B,)``, int64.
            generator: Draws on the CPU.

        Returns:
            Images, and targets: ``(B, classes)`` if they are mixed, otherwise ``labels``.
        """
        mixed = float(torch.rand((), generator=generator)) < self._share
        number = int(torch.randint(len(self._transforms), (), generator=generator))
        seed = int(torch.randint(2**62, (), generator=generator))
        if not mixed:
            return images, labels
        with global_seed(seed):
            images, targets = self._transforms[number](images, labels)
        return images, targets


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed torch's global generator of the CPU in a block; afterwards, restore it.

    Args:
        seed: Where the generator starts.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
