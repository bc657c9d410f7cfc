"""Options of the ``supernet`` evaluator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from nasforge.config import EvaluatorConfig

__all__ = ["SupernetConfig"]


class SupernetConfig(EvaluatorConfig):
    """How the supernet is trained, and how an architecture is scored with its weights."""

    epochs: PositiveInt = 60
    """Passes over split `weights`, with one random architecture per batch."""

    batch_size: PositiveInt = 64
    """Images per batch, in training and scoring."""

    lr: PositiveFloat = 0.05
    """Learning rate at the start; half a cosine leads to `min_lr`."""

    min_lr: NonNegativeFloat = 0.0
    """Where the schedule ends."""

    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD. A weight moves only when its operation is part of the batch's architecture."""

    weight_decay: NonNegativeFloat = 3e-4
    """Decay of all weights."""

    clip: NonNegativeFloat = 5.0
    """Largest norm of all gradients together; larger ones are scaled down. 0 switches clipping off."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes (published for ImageNet: 0.1)."""

    norm: Literal["recalibrate", "batch", "inherited"] = "recalibrate"
    """Where batch-norms of a scored architecture take mean and variance from. "recalibrate" measures them on
    training images, as published; "batch" uses those of every scored batch; "inherited" keeps the supernet's,
    which mix those of all architectures."""

    recalibration_batches: PositiveInt = 16
    """How many training batches "recalibrate" measures on."""

    weights: str = ""
    """Folder of a run whose search trained a supernet with this evaluator: its weights are used, and none are
    trained. Space, images' size and number of classes must be the same."""

    @model_validator(mode="after")
    def _fits(self) -> SupernetConfig:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) must not be above lr ({self.lr:g})")
        return self

    def reports(self) -> frozenset[str]:
        """Return what is measured; the images decide which of ``arch`` and ``select`` is scored."""
        return frozenset(f"{split}_{name}" for split in ("arch", "select") for name in ("accuracy", "loss"))
