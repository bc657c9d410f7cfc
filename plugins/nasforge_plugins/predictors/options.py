"""Options of a predictor, for all plugins that have one. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nasforge.config import PluginConfig

__all__ = ["EncodingName", "PredictorName", "PredictorOptions"]

PredictorName = Literal["forest", "random-forest", "boosting", "gp", "mlp", "bananas"]
EncodingName = Literal["one-hot", "path", "truncated-path"]


class PredictorOptions(PluginConfig):
    """What predicts scores, and what it sees of an architecture."""

    predictor: PredictorName = "forest"
    """What predicts scores: "forest" (trees that split at random, fast), "random-forest" (trees on drawn
    samples), "boosting" (trees that correct each other), "gp" (a Gaussian process), or "mlp" (networks of
    three layers, as BANANAS has)."""

    members: int = Field(5, ge=2)
    """How many predictors there are; their disagreement says what is uncertain. A Gaussian process knows
    that by itself and needs one only."""

    encoding: EncodingName = "one-hot"
    """What predictors see of an architecture: "one-hot" is a number per option, "path" one per path from the
    cell's input to its output, which only spaces of cells have."""
