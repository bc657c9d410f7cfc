"""Parts of the transformer: patches, attention with relative positions, hidden layers, classifier.

Written after microsoft/Cream, folder ``AutoFormer``, ``model/supernet_transformer.py`` and ``model/module``,
with the options that its README trains with (``--gp --change_qk --relative_position``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasforge.arch import Arch, Choice
from nasforge.nn import (
    DropPath,
    Extent,
    OptionWeights,
    Sliced,
    SlicedLayerNorm,
    SlicedLinear,
    cut,
    pick_options,
    weighted_sum,
)

__all__ = ["Attention", "Hidden", "Patches", "RampedDropPath", "TokenClassifier", "hidden_channels"]


def hidden_channels(embed_dim: int, ratio: str) -> int:
    """Return the channels between the two linear layers of a block."""
    return int(embed_dim * float(ratio))


class RampedDropPath(DropPath):
    """Drop-path whose rate grows with depth, from 0 in the first block to the full rate in the last.

    Args:
        share: Share of the rate that this block has.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with dropped images zeroed; its first dimension counts the images."""
        full, self.rate = self.rate, self.rate * self.share
        try:
            return super().forward(x)
        finally:
            self.rate = full


class Patches(nn.Conv2d, Sliced):
    """Turns patches of an image into tokens, puts the class token before them, and adds positions.

    Args:
        channels: Of the images.
        embed_dim: Channels of the tokens.
        patch: Side of a patch.
        tokens: How many patches an image has.
    """

    def __init__(self, channels: int, embed_dim: int, patch: int, tokens: int) -> None:
        super().__init__(channels, embed_dim, patch, patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.position = nn.Parameter(torch.empty(1, 1 + tokens, embed_dim))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, x: Tensor, extent: Extent | None = None) -> Tensor:
        """Map images ``(B, C, S, S)`` to tokens ``(B, 1 + patches, channels)``."""
        size = self.out_channels if extent is None else extent.size
        bias = None if self.bias is None else cut(self.bias, size)
        found = F.conv2d(x, cut(self.weight, size), bias, self.stride).flatten(2).transpose(1, 2)
        first = cut(self.class_token, 1, 1, size).expand(x.shape[0], -1, -1)
        tokens = torch.cat([first, found], 1) + cut(self.position, 1, self.position.shape[1], size)
        return tokens if extent is None else extent.scale(tokens)


class RelativePositions(nn.Module):
    """A vector for every pair of tokens: that of their distance in rows plus that in columns.

    Args:
        side: Patches per row and column.
        channels: Of the vectors.
        furthest: Larger distances count as this one.
    """

    def __init__(self, side: int, channels: int, furthest: int) -> None:
        super().__init__()
        self.vertical = nn.Parameter(torch.empty(2 * furthest + 2, channels))
        self.horizontal = nn.Parameter(torch.empty(2 * furthest + 2, channels))
        nn.init.trunc_normal_(self.vertical, std=0.02)
        nn.init.trunc_normal_(self.horizontal, std=0.02)
        places = torch.arange(side * side)
        for name, place in (("rows", places // side), ("columns", places % side)):
            distance = (place[None, :] - place[:, None]).clamp(-furthest, furthest) + furthest + 1
            # Row 0 of the tables belongs to the class token.
            self.register_buffer(name, F.pad(distance, (1, 0, 1, 0)), persistent=False)

    rows: Tensor
    columns: Tensor

    def forward(self) -> Tensor:
        """Return the vectors, ``(tokens, tokens, channels)``."""
        return F.embedding(self.rows, self.vertical) + F.embedding(self.columns, self.horizontal)


class Queries(SlicedLinear):
    """Queries, keys and values of all heads.

    The rows of the weight are interleaved (query, key, value, query, …), so that a leading slice has all
    three for its heads. The biases are not: as published, fewer heads take the first entries of the vector,
    which are divided among queries, keys and values anew.
    """

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Return queries, then keys, then values, shape ``(B, tokens, outputs)``."""
        rows = self.out_features if outputs is None else outputs
        weight = cut(self.weight, rows, x.shape[-1]).unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
        return F.linear(x, weight, cut(self.bias, rows))


class Attention(nn.Module):
    """The first half of a block: norm, self-attention with relative positions, drop-path.

    Args:
        choice: Decides the number of heads.
        embed_dim: Channels of the tokens.
        head_dim: Channels of a head.
        side: Patches per row and column.
        furthest: See `RelativePositions`.
        depth_share: See `RampedDropPath`.
        arch: The architecture; None keeps every number of heads.
    """

    def __init__(
        self,
        choice: Choice,
        embed_dim: int,
        head_dim: int,
        side: int,
        furthest: int,
        depth_share: float = 0.0,
        arch: Arch | None = None,
    ) -> None:
        super().__init__()
        self.choice, self.options, self.head_dim = choice, pick_options(choice, arch), head_dim
        inner = head_dim * max(map(int, self.options))
        self.norm = SlicedLayerNorm(embed_dim)
        self.queries = Queries(embed_dim, 3 * inner)
        self.key_positions = RelativePositions(side, head_dim, furthest)
        self.value_positions = RelativePositions(side, head_dim, furthest)
        self.project = SlicedLinear(inner, embed_dim)
        self.drop_path = RampedDropPath(depth_share)

    def forward(
        self, x: Tensor, weights: OptionWeights | None = None, extent: Extent | None = None
    ) -> Tensor:
        """Return what is added to the tokens ``(B, tokens, channels)``."""
        normed = self.norm(x, extent)
        keys, values = self.key_positions(), self.value_positions()

        def attend(option: str) -> Tensor:
            return self.project(self.attend(normed, int(option), keys, values), x.shape[-1])

        terms = ((option, lambda option=option: attend(option)) for option in self.options)
        y = weighted_sum(self.choice, terms, weights)
        return self.drop_path(y if extent is None else extent.scale(y))

    def attend(self, x: Tensor, heads: int, keys: Tensor, values: Tensor) -> Tensor:
        """Return the outputs of the first heads, ``(B, tokens, heads * head_dim)``.

        Args:
            x: Tokens, ``(B, tokens, channels)``.
            heads: How many.
            keys: Added to the keys of every pair of tokens, ``(tokens, tokens, head_dim)``.
            values: Added to the values of every pair.
        """
        mixed = self.queries(x, 3 * heads * self.head_dim)
        q, k, v = mixed.unflatten(-1, (3, heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        scale = self.head_dim**-0.5
        count = x.shape[1]
        # Products with positions run over all images and heads at once, for one token after the other.
        per_token = q.permute(2, 0, 1, 3).reshape(count, -1, self.head_dim) @ keys.transpose(1, 2)
        scores = (q @ k.transpose(-2, -1)) * scale
        scores = scores + per_token.transpose(0, 1).reshape(-1, heads, count, count) * scale
        attention = scores.softmax(-1)
        y = (attention @ v).transpose(1, 2).flatten(2)
        placed = attention.permute(2, 0, 1, 3).reshape(count, -1, count) @ values
        return y + placed.unflatten(1, (-1, heads)).permute(1, 0, 2, 3).flatten(2)


class Hidden(nn.Module):
    """The second half of a block: norm, two linear layers with a GELU between them, drop-path.

    Args:
        choice: Decides the ratio of hidden channels.
        embed_dim: Channels of the tokens.
        depth_share: See `RampedDropPath`.
        arch: The architecture; None keeps every ratio.
    """

    def __init__(
        self, choice: Choice, embed_dim: int, depth_share: float = 0.0, arch: Arch | None = None
    ) -> None:
        super().__init__()
        self.choice, self.options = choice, pick_options(choice, arch)
        inner = max(hidden_channels(embed_dim, option) for option in self.options)
        self.norm = SlicedLayerNorm(embed_dim)
        self.expand = SlicedLinear(embed_dim, inner)
        self.project = SlicedLinear(inner, embed_dim)
        self.drop_path = RampedDropPath(depth_share)

    def forward(
        self,
        x: Tensor,
        weights: OptionWeights | None = None,
        extent: Extent | None = None,
        hidden: Mapping[str, Extent] | None = None,
    ) -> Tensor:
        """Return what is added to the tokens ``(B, tokens, channels)``.

        Args:
            x: The tokens.
            weights: Option weights by choice name.
            extent: Channels of the tokens that take part.
            hidden: Hidden channels that take part, by ratio.
        """
        normed = self.norm(x, extent)

        def mix(option: str) -> Tensor:
            inner = Extent(hidden_channels(x.shape[-1], option)) if hidden is None else hidden[option]
            return self.project(inner.scale(F.gelu(self.expand(normed, inner.size))), x.shape[-1])

        terms = ((option, lambda option=option: mix(option)) for option in self.options)
        y = weighted_sum(self.choice, terms, weights)
        return self.drop_path(y if extent is None else extent.scale(y))


class TokenClassifier(nn.Module):
    """Norm, mean over the patches, linear layer.

    Args:
        embed_dim: Channels of the tokens.
        classes: Number of logits.
    """

    def __init__(self, embed_dim: int, classes: int) -> None:
        super().__init__()
        self.norm = SlicedLayerNorm(embed_dim)
        self.linear = SlicedLinear(embed_dim, classes)

    def forward(self, x: Tensor, extent: Extent | None = None) -> Tensor:
        """Map tokens ``(B, 1 + patches, channels)`` to logits ``(B, classes)``."""
        return self.linear(self.norm(x, extent)[:, 1:].mean(1))
