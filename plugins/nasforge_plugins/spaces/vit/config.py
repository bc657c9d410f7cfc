"""Options of the ``vit`` space."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, field_validator

from nasforge.config import PluginConfig

__all__ = ["SUPERNETS", "Sizes", "VitConfig"]

N = TypeVar("N", int, float)
Channels = Annotated[int, Field(ge=1, le=65_536)]
Sizes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[float, ...]]

SUPERNETS: dict[str, Sizes] = {
    "tiny": ((192, 216, 240), (12, 13, 14), (3, 4), (3.0, 3.5, 4.0)),
    "small": ((320, 384, 448), (12, 13, 14), (5, 6, 7), (3.0, 3.5, 4.0)),
    "base": ((528, 576, 624), (14, 15, 16), (9, 10), (3.0, 3.5, 4.0)),
}
"""Embedding dimensions, depths, heads and MLP ratios of the published supernets. The published file of the
tiny one lists the ratios 3.5 and 4, but the network that was released with it also has 3."""


class VitConfig(PluginConfig):
    """Sizes to choose from; the defaults are the published search space at 224 pixels."""

    supernet: Literal["tiny", "small", "base"] = "tiny"
    """Published search space whose sizes are taken for `embed_dims`, `depths`, `heads` and `mlp_ratios` where
    these are left out."""

    embed_dims: Annotated[tuple[Channels, ...], Field(min_length=1)] | None = None
    """Channels of the tokens to choose from, in ascending order; one choice for the whole network. None takes
    those of `supernet`."""

    depths: Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(min_length=1)] | None = None
    """Numbers of blocks to choose from, in ascending order. None takes those of `supernet`."""

    heads: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)] | None = None
    """Numbers of attention heads to choose from, in ascending order; a choice of every block. None takes
    those of `supernet`."""

    mlp_ratios: Annotated[tuple[Annotated[float, Field(gt=0, le=64)], ...], Field(min_length=1)] | None = None
    """Hidden channels of a block's two linear layers to choose from, in multiples of the embedding dimension
    and in ascending order; a choice of every block. None takes those of `supernet`."""

    head_dim: int = Field(64, ge=1, le=4096)
    """Channels of a head, whatever the embedding dimension."""

    patch_size: int = Field(16, ge=1, le=4096)
    """Side of the square patches that become tokens, in pixels: 4 gives images of 32 pixels 64 tokens."""

    max_relative_position: int = Field(14, ge=1, le=4096)
    """Distance in rows or columns of patches from which on relative positions are not told apart."""

    @field_validator("embed_dims", "depths", "heads", "mlp_ratios")
    @classmethod
    def _ascending(cls, values: tuple[N, ...] | None) -> tuple[N, ...] | None:
        if values is not None and list(values) != sorted(set(values)):
            raise ValueError("sizes must be listed once and in ascending order: smaller ones are slices")
        return values

    def sizes(self) -> Sizes:
        """Return embedding dimensions, depths, heads and MLP ratios to choose from."""
        embed_dims, depths, heads, ratios = SUPERNETS[self.supernet]
        return (
            self.embed_dims or embed_dims,
            self.depths or depths,
            self.heads or heads,
            self.mlp_ratios or ratios,
        )
