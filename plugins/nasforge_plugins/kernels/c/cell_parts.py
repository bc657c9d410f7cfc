"""Parts that the forward and backward pass of a cell share: edges, and the kept maps of each node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nasforge_plugins.kernels.folding import Folded

__all__ = ["CellForm", "Edges", "Source", "as_image", "at", "rows_of", "share"]

Edges = tuple[tuple[int, int], ...]
"""Pairs (source, node), in rising order."""


class CellForm(NamedTuple):
    """Edges and statistics of a cell.

    Attributes:
        threes: Edges with a 3x3 convolution.
        ones: Edges with a 1x1 convolution.
        skips: Edges that pass their source on.
        pools: Edges that pool it.
        eps: Added to each variance by the norms.
        running: Running mean and variance of all layers, ``(L, C)`` each, or None to use the batch's.
    """

    threes: Edges
    ones: Edges
    skips: Edges
    pools: Edges
    eps: float
    running: tuple[Tensor, Tensor] | None


class Source(NamedTuple):
    """The kept maps of a node that others read, with K 3x3 convolutions.

    Attributes:
        state: The node, ``(B, H, W, C)``; for the gradient it may be rectified.
        maps: Of its 3x3 convolutions, side by side, ``(B, H, W, K C)``.
        mean: That their norms subtract, ``(K, C)``.
        deviation: One over the standard deviation, ``(K, C)``.
        gain: Scale over deviation, ``(K, C)``.
        folded: Its 1x1 convolutions.
    """

    state: Tensor
    maps: Tensor | None = None
    mean: Tensor | None = None
    deviation: Tensor | None = None
    gain: Tensor | None = None
    folded: Folded | None = None

    def get_map(self, place: int) -> Tensor:
        """Return the map of one of its 3x3 convolutions."""
        assert self.maps is not None
        channels = self.state.shape[3]
        return self.maps[..., place * channels : (place + 1) * channels]


def as_image(x: Tensor) -> Tensor:
    """Return a map ``(B, C, H, W)`` as kernels take it, ``(B, H, W, C)``."""
    image = x.permute(0, 2, 3, 1).contiguous()
    return image.view(-1).view(image.shape)  # steps along sides of one pixel may be anything before


def rows_of(edges: Edges, source: int) -> range:
    """Return which edges leave a source; they are neighbours."""
    chosen = [i for i, edge in enumerate(edges) if edge[0] == source]
    return range(chosen[0], chosen[-1] + 1) if chosen else range(0)


def at(edges: Edges, source: int, node: int) -> int:
    """Return the place of an edge among those that leave its source."""
    return edges.index((source, node)) - rows_of(edges, source).start


def share(plain: Tensor | None, rows: Sequence[int], like: Tensor) -> Tensor:
    """Return some option weights, or ones."""
    if plain is None:
        return like.new_ones(len(rows))
    return torch.stack([plain[row] for row in rows]) if rows else plain[:0]
