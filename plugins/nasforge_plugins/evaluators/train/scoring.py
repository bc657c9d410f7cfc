"""Scores of a trained network on one split."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from torch import Tensor

from nasforge.component import Context
from nasforge.data import Split
from nasforge.nn import Network
from nasforge.training.loops import Scores, score
from nasforge_plugins.evaluators.train.checks import held_out
from nasforge_plugins.evaluators.train.config import TrainConfig

__all__ = ["count_batches", "count_held_out", "read_whole", "score_held_out", "score_split"]


def score_held_out(config: TrainConfig, ctx: Context, network: Network) -> tuple[Split, Scores]:
    """Return the scores that a search compares, and the split that they are measured on.

    Args:
        config: Says how to score.
        ctx: Data and runtime.
        network: A trained network.
    """
    assert ctx.data is not None, "the recipe check requires a [data] table"
    split = held_out(ctx.data)
    if config.score_batches is None:
        batches = read_whole(config, ctx, split)
    else:
        size = min(config.batch_size, ctx.data.sizes()[split])
        batches = islice(ctx.data.batches(split, batch_size=size), config.score_batches)
    by_batch, where = config.score_norms == "batch", f"{ctx.stage}, {split} images"
    return split, score(network, batches, ctx.runtime, where=where, batch_statistics=by_batch)


def count_held_out(config: TrainConfig, ctx: Context) -> int:
    """Return the number of batches of `score_held_out`."""
    assert ctx.data is not None, "the recipe check requires a [data] table"
    return config.score_batches or count_batches(config, ctx, held_out(ctx.data))


def score_split(config: TrainConfig, ctx: Context, network: Network, split: Split) -> Scores:
    """Return the scores on all images of a split.

    Args:
        config: Has the batch size.
        ctx: Data and runtime.
        network: A trained network.
        split: The split.
    """
    batches = read_whole(config, ctx, split)
    return score(network, batches, ctx.runtime, where=f"{ctx.stage}, {split} images")


def count_batches(config: TrainConfig, ctx: Context, split: Split) -> int:
    """Return the number of batches of `score_split`; reads no images."""
    assert ctx.data is not None, "the recipe check requires a [data] table"
    return -(-ctx.data.sizes()[split] // max(1, min(config.batch_size, ctx.data.sizes()[split])))


def read_whole(config: TrainConfig, ctx: Context, split: Split) -> Iterable[tuple[Tensor, Tensor]]:
    """Return the batches of a split in stored order, without augmentation.

    Args:
        config: Has the batch size.
        ctx: Data.
        split: The split.
    """
    assert ctx.data is not None, "the recipe check requires a [data] table"
    size = min(config.batch_size, ctx.data.sizes()[split])
    return ctx.data.batches(split, augment=False, batch_size=size)
