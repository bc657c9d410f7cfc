"""Options of a predictor, for all plugins that have one. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nasforge.config import PluginConfig

__all__ = ["EncodingName", "PredictorName", "PredictorOptions"]

PredictorName = Literal["forest", "random-forest", "boosting", "gp", "mlp", "bananas"]
EncodingName = Literal["one-hot", "path", "truncated-path"]


class PredictorOptions(PluginConfig):
    """Options of the score predictor and of its encoding of architectures."""

    predictor: PredictorName = "forest"
    """The model of scores: "forest" (trees that split at random, fast), "random-forest" (trees on drawn
    samples), "boosting" (trees that correct each other), "gp" (a Gaussian process), "mlp" (networks of three
    layers), or "bananas" (the published networks of BANANAS, of ten layers)."""

    members: int = Field(5, ge=2)
    """Number of predictors; their disagreement is the uncertainty. A Gaussian process has its own and needs
    one only."""

    encoding: EncodingName = "one-hot"
    """The input of predictors: "one-hot" has a number per option, "path" one per path from the cell's input
    to its output that was seen, which only spaces of cells have, "truncated-path" the first 40 of all paths,
    as BANANAS publishes it for `nasbench201`."""
