"""Options of the stages distiller."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from nasforge.config import PluginConfig

__all__ = ["StagesConfig"]


class StagesConfig(PluginConfig):
    """How two networks are compared; the defaults are those of the published CIFAR searches of CDARTS."""

    loss: Literal["smooth_l1", "kl", "mse", "cosine"] = "smooth_l1"
    """Minimised loss: "smooth_l1" and "mse" compare raw logits, "kl" softened predictions, "cosine"
    directions. CDARTS searches CIFAR with "smooth_l1", ImageNet with "kl"."""

    temperature: PositiveFloat = 2.0
    """T: logits are divided by it before the softmax of "kl", and every loss is multiplied by T²."""

    reduction: Literal["mean", "batchmean"] = "mean"
    """How "kl" is averaged: over all numbers (the published code), or over rows (the paper's equation)."""

    combine: Literal["concat", "sum"] = "concat"
    """How the weighted logits of several depths become one output: one below the other along the batch axis,
    so that each depth is matched by itself (the published code), or added up."""

    learn_ensemble: bool = True
    """Train the weights of the depths, which start at random; else every depth weighs the same."""

    freeze_heads: bool = False
    """Leave the heads as they start, at random: the published CIFAR searches do."""

    detach_teacher: bool = False
    """Teach the student only; in CDARTS both networks move towards each other."""

    taps: tuple[NonNegativeInt, ...] | None = None
    """Features that get a head, counted from 0, the shallowest; unset: all but the last, whose place the
    logits take."""

    pool_sizes: tuple[PositiveInt, ...] | None = Field(None, min_length=1)
    """Side of each head's pooling window, in pixels of its feature, cut to what fits; unset: 6, or less on
    features below 8x8 (the published sizes: 6 and 6 on CIFAR, 6 and 5 on ImageNet)."""
