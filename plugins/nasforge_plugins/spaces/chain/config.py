"""Options of the chain space."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from nasforge.config import PluginConfig

__all__ = ["ChainConfig"]

Positive = Annotated[int, Field(ge=1)]
PerStage = tuple[Positive, Positive, Positive, Positive, Positive]
Multiplier = Annotated[float, Field(gt=0.0, le=8.0)]


class ChainConfig(PluginConfig):
    """Skeleton and choices; the defaults are the network of CDARTS-a and CDARTS-b at 224 pixels."""

    layout: Literal["imagenet", "cifar"] = "imagenet"
    """Where the chain halves the image: "imagenet" in stem and stages 1, 2, 3, 5 (by 32, as published);
    "cifar" in stages 2, 3, 5 (by 8: ours, it leaves 4 of 32 pixels)."""

    depths: PerStage = (4, 4, 5, 4, 4)
    """Blocks of stages 1 to 5; with variable_depth the largest number."""

    variable_depth: bool = True
    """Whether every block but the first `min_depth` of its stage may be skipped."""

    min_depth: Positive = 1
    """Blocks that every stage keeps with variable_depth; stages of no more blocks keep all of theirs."""

    elastic: bool = False
    """Whether kernels, expansions and depths are slices of one set of weights (once-for-all) instead of
    options with weights of their own. Kernels and expansions are in ascending order then."""

    kernels: tuple[Positive, ...] = Field((3, 5, 7), min_length=1)
    """Sides of the depthwise convolutions to choose from; odd numbers."""

    expansions: tuple[Positive, ...] = Field((4, 6), min_length=1)
    """Widths inside a block to choose from, in multiples of its input channels."""

    stem_channels: Positive = 16
    """Channels of the stem and of the fixed first block, at every scale."""

    widths: PerStage = (24, 40, 80, 96, 192)
    """Channels of stages 1 to 5."""

    head_channels: Positive = 960
    """Channels of the convolution before pooling: 960 in CDARTS-a and -b, 320 in the published variants."""

    classifier_channels: Positive = 1280
    """Channels of the layer between pooling and the logits."""

    search_width: Multiplier = 1.0
    """Multiplies the widths of stages and head in the search network (rounded to multiples of 8)."""

    eval_width: Multiplier = 1.0
    """Multiplies the same widths in the evaluation network inside a search."""

    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Share of classifier inputs dropped while the final network trains; networks of a search drop none."""

    feature_stages: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field((1, 2, 3, 4, 5), min_length=1)
    """Stages whose output a distiller sees; [3, 4, 5] gives three depths, as CDARTS has in cell spaces."""

    partial_channels: Positive = 1
    """Options of the search network see one channel in so many, the others pass by (PC-DARTS: 4; ours in this
    space). Blocks that change width or side are left whole."""

    execution: Literal["fast", "reference"] = "fast"
    """How a block mixes its options: "fast" saves passes over feature maps, "reference" is the plain sum;
    both compute the same from the same parameters. Elastic blocks have one way."""

    @field_validator("kernels")
    @classmethod
    def _odd(cls, kernels: tuple[int, ...]) -> tuple[int, ...]:
        if even := [k for k in kernels if k % 2 == 0]:
            raise ValueError(f"kernels are odd, so that the image keeps its size; got {even}")
        return _distinct(kernels)

    @field_validator("expansions")
    @classmethod
    def _once(cls, expansions: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct(expansions)

    @field_validator("feature_stages")
    @classmethod
    def _ascending(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        if list(stages) != sorted(set(stages)):
            raise ValueError(f"stages are listed once, in ascending order; got {list(stages)}")
        return stages

    @model_validator(mode="after")
    def _growing(self) -> Self:
        for name in ("kernels", "expansions") if self.elastic else ():
            values = getattr(self, name)
            if list(values) != sorted(values):
                raise ValueError(
                    f"elastic {name} must be in ascending order, smaller ones are slices; got {list(values)}"
                )
        return self


def _distinct(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"each value is listed once; got {list(values)}")
    return values
