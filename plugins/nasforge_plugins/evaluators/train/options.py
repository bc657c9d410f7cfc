"""Groups of options of the ``train`` evaluator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from nasforge.config import PluginConfig

__all__ = ["AugmentOptions", "EmaOptions", "StopOptions"]


class AugmentOptions(PluginConfig):
    """Random changes of the training batches, beside those of ``[data]``; off by default."""

    policy: Literal["none", "randaugment", "trivialaugment"] = "none"
    """Operations on the bytes of every image, such as rotations and changes of contrast: `operations` of one
    `magnitude` ("randaugment", Cubuk et al., 2020) or one of random magnitude ("trivialaugment", Müller and
    Hutter, 2021, the wide space)."""

    operations: PositiveInt = 2
    """Operations on each image, for "randaugment"."""

    magnitude: int = Field(default=9, ge=0, le=30)
    """Strength of the operations from 0 to 30, for "randaugment"."""

    erasing: float = Field(default=0.0, ge=0, le=1)
    """Probability that a rectangle of 2 to 33 % of an image becomes the mean colour (Zhong et al., 2020)."""

    mixup: NonNegativeFloat = 0.0
    """The a of mixup (Zhang et al., 2018): an image becomes λ times itself plus 1 - λ times another one of
    its batch, with λ from Beta(a, a), and so do the labels. Published for ImageNet: 0.2. 0: none."""

    cutmix: NonNegativeFloat = 0.0
    """The a of CutMix (Yun et al., 2019): a rectangle of every image, of the share 1 - λ, comes from another
    one of its batch, and labels count by area. Published: 1. With `mixup`, a batch has either. 0: none."""

    mix_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the batches that are mixed, with `mixup` or `cutmix` (CutMix on CIFAR: 0.5)."""

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that targets are shares of classes."""
        return self.mixup > 0 or self.cutmix > 0


class StopOptions(PluginConfig):
    """Early stopping of the final training by split ``holdout``, which is not part of it (Prechelt, 1998).

    The weights of the best epoch are tested and stored. Test images are never read.
    """

    patience: NonNegativeInt = 0
    """Epochs in a row that are no better than the best one, after which the training ends; 0: never. Needs
    `data.holdout_share`."""

    metric: Literal["loss", "accuracy"] = "loss"
    """Compared number: cross-entropy of the held-out images, or their accuracy."""

    min_gain: NonNegativeFloat = 0.0
    """By how much an epoch must be better than the best one: in nats, or in percent."""


class EmaOptions(PluginConfig):
    """Exponential moving average of the weights (Polyak and Juditsky, 1992).

    With an average, it is scored, tested and stored instead of the weights that are trained.
    """

    decay: float = Field(default=0.0, ge=0, lt=1)
    """Share of the average that an update keeps, such as 0.9999; 0.99 to 0.999 for a few thousand updates. 0
    computes no average."""

    warmup: bool = True
    """Whether update n, from 0, keeps at most (1 + n) / (10 + n), as TensorFlow's average does: the initial
    weights are soon forgotten."""

    every: PositiveInt = 1
    """Steps of the optimiser between two updates of the average."""
