"""Checks of a training's options against the other parts of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch

from nasforge.component import Context
from nasforge.data import DataModule, Split
from nasforge.plugins.capabilities import KnownBaseline
from nasforge.space import NetworkSpace
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.training import BASELINE

__all__ = ["held_out", "option_problems"]


def held_out(data: DataModule[Any]) -> Split:
    """Return the split on which a search scores: ``select``, or ``arch`` where that is empty."""
    return "select" if data.sizes()["select"] else "arch"


def option_problems(config: TrainConfig, ctx: Context) -> Iterator[str]:
    """Yield an ``option: what is wrong. What to do.`` for every option that does not fit the run.

    Args:
        config: The options.
        ctx: Space, data, distiller and stage; nothing is read from the images.
    """
    if ctx.stage == "search":
        yield from _search_problems(config, ctx)
    assert ctx.data is not None
    classes = ctx.data.task.num_classes
    if not isinstance(config.class_weights, str) and len(config.class_weights) != classes:
        yield (
            f"class_weights: has {len(config.class_weights)} number(s), the images {classes} classes. Write "
            "one per class, or 'balanced'."
        )
    if config.stop.patience and ctx.stage == "search":
        yield "stop.patience: a search compares trainings of equal length. Write it below [train]."
    elif config.stop.patience and not ctx.data.sizes().get("holdout"):
        yield (
            f"stop.patience: {config.stop.patience}, but no images are held out. Set data.holdout_share, for "
            "instance 0.1, or stop.patience to 0."
        )
    if ctx.stage != "test":
        yield from _augment_problems(config, ctx.data)
    if config.auxiliary_weight and not _has_auxiliary(ctx):
        yield (
            f"auxiliary_weight: {config.auxiliary_weight:g}, but {type(ctx.space).__name__} has no "
            "auxiliary head. Set it to 0."
        )
    if config.teacher and ctx.distiller is None and ctx.stage != "test":
        yield (
            f"teacher: {config.teacher!r}, but there is no distiller to compare the networks. "
            "Add the table [train.distiller]."
        )
    if config.teacher == BASELINE and ctx.stage != "test":
        yield from _baseline_problems(ctx)
    if ctx.distiller is not None and not config.teacher and ctx.stage == "train":
        yield "teacher: missing, and [train.distiller] needs one. Give the folder of a finished run."


def _baseline_problems(ctx: Context) -> Iterator[str]:
    space, data = cast("NetworkSpace[Any]", ctx.space), ctx.data
    assert data is not None
    if not isinstance(space, KnownBaseline):
        yield f"teacher: 'baseline', but {type(space).__name__} has none. Give the folder of a finished run."
    elif space.reference_task.num_classes != data.task.num_classes:
        yield (
            f"teacher: 'baseline' knows {space.reference_task.num_classes} classes, the data has "
            f"{data.task.num_classes}: its last layer would be untrained. Train the baseline on these images "
            "first, and give the folder of that run."
        )


def _augment_problems(config: TrainConfig, data: DataModule[Any]) -> Iterator[str]:
    options, task = config.augment, data.task
    if options.policy != "none" and data.preprocessing is None:
        yield (
            f"augment.policy: {options.policy!r} changes bytes, but these images come without a description "
            "of how bytes were normalised. Write 'none', or give the data a property 'preprocessing'."
        )
    if options.policy != "none" and task.in_channels not in (1, 3):
        yield (
            f"augment.policy: {options.policy!r} changes images of 1 or 3 channels, these have "
            f"{task.in_channels}. Write 'none'."
        )
    if options.erasing and task.image_size == 1:
        yield "augment.erasing: images of one pixel have no rectangle to erase. Set it to 0."


def _search_problems(config: TrainConfig, ctx: Context) -> Iterator[str]:
    assert ctx.data is not None
    lengths: dict[str, Split] = {"epoch_batches": "weights", "score_batches": held_out(ctx.data)}
    for option, split in lengths.items():
        wanted, size = getattr(config, option), ctx.data.sizes()[split]
        most = ctx.data.num_batches(split, batch_size=min(config.batch_size, size)) if size else 0
        if wanted is not None and wanted > most:
            yield (
                f"{option}: {wanted}, but split {split!r} has {most} batches of {config.batch_size} "
                f"images. Write at most {most}, or leave it out."
            )
    if config.init:
        yield (
            f"init: {config.init!r}, but a search compares architectures, whose weights differ. Write it "
            "below [train]."
        )


def _has_auxiliary(ctx: Context) -> bool:
    assert ctx.data is not None
    with torch.device("meta"):
        return cast("NetworkSpace[Any]", ctx.space).build_auxiliary(ctx.data.task) is not None
