"""Options of the ``supernet`` evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from nasforge.config import EvaluatorConfig

__all__ = ["SupernetConfig"]


class SupernetConfig(EvaluatorConfig):
    """How the supernet is trained, and how an architecture is scored with its weights.

    Schedule, label smoothing, decay of weights alone and recalibration are those of Guo et al. (ECCV 2020),
    who train 120 epochs of ImageNet in batches of 1,024 with lr = 0.5, weight_decay = 4e-5 and clip = 0.
    """

    moved_options: ClassVar[Mapping[str, str]] = {"recalibration_batches": "recalibration_images"}

    epochs: PositiveInt = 60
    """Passes over split `weights`, with one random architecture per batch, or several with `sandwich`."""

    batch_size: PositiveInt = 64
    """Images per batch, in training and scoring."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimiser of the weights; transformers train with "adamw"."""

    lr: PositiveFloat = 0.05
    """Learning rate at the start. AdamW wants about 0.0005."""

    min_lr: NonNegativeFloat = 0.0
    """Where the schedule ends."""

    schedule: Literal["linear", "cosine"] = "linear"
    """The way from `lr` to `min_lr`: "linear" falls with every batch (published); "cosine" is half a cosine
    with one value per epoch."""

    warmup_epochs: NonNegativeInt = 0
    """Epochs at the start whose learning rate rises linearly to the schedule's."""

    sandwich: NonNegativeInt = 0
    """Random architectures that every batch trains beside the largest and the smallest (Yu and Huang, ICCV
    2019: 2); their gradients are added up. For spaces with elastic choices. 0 trains one random architecture
    alone."""

    distill: bool = False
    """Whether the architectures of a sandwich learn from the output of the largest, and it alone from labels
    (in-place distillation)."""

    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD. A weight moves only when its operation is part of the batch's architecture."""

    weight_decay: NonNegativeFloat = 3e-4
    """Decay of the weights of convolutions and linear layers."""

    decay_norms: bool = False
    """Whether scales and shifts of norms, and biases, decay too (published: false)."""

    clip: NonNegativeFloat = 5.0
    """Largest norm of all gradients together; larger ones are scaled down. 0 switches clipping off."""

    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the target that is spread over all classes while the supernet trains."""

    norm: Literal["recalibrate", "batch", "inherited"] = "recalibrate"
    """Where batch-norms of a scored architecture take mean and variance from. "recalibrate" measures them on
    training images (Guo et al., section 3.4); "batch" uses those of every scored batch; "inherited" keeps
    the supernet's, which mix those of all architectures."""

    recalibration_images: PositiveInt = 20_000
    """How many training images "recalibrate" measures on, in whole batches (the paper: 20,000, the published
    code: 25,600); all of split `weights` if it has fewer. Most of the cost of an evaluation."""

    weights: str = ""
    """Folder of a run whose search trained a supernet with this evaluator: its weights are used, and none are
    trained. Space, images' size and number of classes must be the same."""

    @model_validator(mode="after")
    def _fits(self) -> SupernetConfig:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) must not be above lr ({self.lr:g})")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must not be above epochs ({self.epochs})")
        if self.distill and not self.sandwich:
            raise ValueError("distill needs the largest architecture in every batch: set sandwich, such as 2")
        return self

    def trained_batches(self) -> tuple[str, ...]:
        """Return the option `batch_size`."""
        return ("batch_size",)

    def reports(self) -> frozenset[str]:
        """Return what is measured; the images decide which of ``arch`` and ``select`` is scored."""
        return frozenset(f"{split}_{name}" for split in ("arch", "select") for name in ("accuracy", "loss"))
