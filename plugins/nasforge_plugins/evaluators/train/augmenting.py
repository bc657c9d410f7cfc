"""Random changes of training batches, as the options of a training say."""

from __future__ import annotations

import torch
from torch import Tensor

from nasforge.images import Preprocessing
from nasforge.images.mixing import Mixing
from nasforge.images.policies import augment, erase
from nasforge.training.shards import shard_generator
from nasforge_plugins.evaluators.train.options import AugmentOptions

__all__ = ["Augmentation", "to_bytes"]


class Augmentation:
    """Changes training batches at random.

    Args:
        options: Which changes.
        classes: Number of classes.
        preprocessing: Normalisation of the images, which a policy undoes and makes again.
    """

    def __init__(
        self, options: AugmentOptions, classes: int, preprocessing: Preprocessing | None = None
    ) -> None:
        self._options, self._preprocessing = options, preprocessing
        self._mixing: Mixing | None = None
        if options.mixes:
            self._mixing = Mixing(options.mixup, options.cutmix, options.mix_share, classes)

    def start(self, seed: int) -> None:
        """Begin an epoch.

        Args:
            seed: Seed of all draws of the epoch.
        """
        self.generator = torch.Generator().manual_seed(seed)

    def change(self, images: Tensor) -> Tensor:
        """Apply the policy and erase rectangles, image by image.

        Args:
            images: Normalised ``(B, C, H, W)``, float32.
        """
        options = self._options
        if options.policy == "none" and not options.erasing:
            return images
        generator = shard_generator(self.generator)
        if options.policy != "none":
            assert self._preprocessing is not None, "the evaluator has checked that images come from bytes"
            pixels = to_bytes(images, self._preprocessing)
            images = self._preprocessing.apply(
                augment(pixels, options.policy, generator, options.operations, options.magnitude)
            )
        return erase(images, options.erasing, generator) if options.erasing else images

    def mix(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the images of a batch; see `nasforge.images.mixing.Mixing`."""
        if self._mixing is None:
            return images, labels
        return self._mixing(images, labels, shard_generator(self.generator))


def to_bytes(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return the bytes that normalised images were made of, ``(B, C, H, W)``.

    Args:
        images: Normalised ``(B, C, H, W)``, float32.
        preprocessing: Their normalisation.
    """
    mean, deviation = (
        torch.tensor(values, device=images.device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.deviation)
    )
    return ((images * deviation + mean) * 255.0).round().clamp(0, 255).to(torch.uint8)
