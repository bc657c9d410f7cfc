"""Images in an order that mixes what is stored together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["mixed"]

HELD = 2**30
"""Bytes of images that are mixed with each other."""


def mixed(
    batches: Iterable[tuple[Tensor, Tensor]], batch_size: int, generator: torch.Generator, held: int = HELD
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the same images in a random order.

    Folders hold one class after the other: a batch of such images has the statistics of one class.

    Args:
        batches: Images ``(B, C, S, S)`` and labels ``(B,)``.
        batch_size: Images per batch that is yielded.
        generator: Decides the order.
        held: Bytes of images that are held and mixed at a time; splits that are smaller are mixed as a whole.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    for images, labels in batches:
        kept.append((images, labels))
        if sum(i.nbytes for i, _ in kept) >= held:
            yield from _drawn(kept, batch_size, generator)
            kept = []
    if kept:
        yield from _drawn(kept, batch_size, generator)


def _drawn(
    kept: list[tuple[Tensor, Tensor]], batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    images, labels = (torch.cat(parts) for parts in zip(*kept, strict=True))
    for rows in torch.randperm(len(labels), generator=generator).to(labels.device).split(batch_size):
        yield images[rows], labels[rows]
