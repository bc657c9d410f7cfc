"""Where the blocks of the chain stand: channels, strides, and the maps that they read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nasforge.arch import Choice
from nasforge.space import Scale
from nasforge_plugins.spaces.chain.blocks import round_channels
from nasforge_plugins.spaces.chain.choices import StageChoices, choices_of_stages
from nasforge_plugins.spaces.chain.config import ChainConfig

__all__ = ["Place", "StagePlan", "plan_stages", "scale_width", "stem_stride"]

STRIDES = {"imagenet": (2, (2, 2, 2, 1, 2)), "cifar": (1, (1, 2, 2, 1, 2))}
"""Per layout: stride of the stem, and of the first block of stages 1 to 5."""


class Place(NamedTuple):
    """Where a block stands.

    Attributes:
        choices: Its operation, or its kernel and expansion.
        c_in: Input channels.
        c_out: Output channels.
        stride: Side of its input divided by that of its output.
        before: Image side divided by the side of its input.
    """

    choices: tuple[Choice, ...]
    c_in: int
    c_out: int
    stride: int
    before: int


class StagePlan(NamedTuple):
    """A stage and its largest number of blocks.

    Attributes:
        name: ``"stage1"`` to ``"stage5"``.
        choices: Its choices.
        places: Of its blocks.
    """

    name: str
    choices: StageChoices
    places: tuple[Place, ...]


def plan_stages(config: ChainConfig, scale: Scale) -> Iterator[StagePlan]:
    """Yield stages 1 to 5.

    Args:
        config: The options of the space.
        scale: Decides the width.
    """
    c, (total, strides) = config.stem_channels, STRIDES[config.layout]
    for number, choices in enumerate(choices_of_stages(config), start=1):
        width, places = scale_width(config.widths[number - 1], config, scale), []
        for i, block in enumerate(choices.blocks):
            stride = strides[number - 1] if i == 0 else 1
            places.append(Place(block, c, width, stride, total))
            c, total = width, total * stride
        yield StagePlan(f"stage{number}", choices, tuple(places))


def scale_width(channels: int, config: ChainConfig, scale: Scale) -> int:
    """Return channels at a scale, rounded to a multiple of 8 where they differ."""
    multiplier = {"search": config.search_width, "eval": config.eval_width, "final": 1.0}[scale]
    return channels if multiplier == 1.0 else round_channels(channels * multiplier)


def stem_stride(config: ChainConfig) -> int:
    """Return the stride of the stem."""
    return STRIDES[config.layout][0]
