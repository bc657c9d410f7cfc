"""Options that gradient searchers share, CDARTS among them."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from nasforge.config import PluginConfig

__all__ = ["RegularizerOptions", "RelaxationOptions"]


class RelaxationOptions(PluginConfig):
    """How architecture parameters become the weights of options."""

    relaxation: Literal["softmax", "gumbel", "dirichlet", "sigmoid"] = "softmax"
    """How the weights of a choice's options are made: "softmax" (DARTS), one option drawn per batch with
    "gumbel" noise (GDAS), drawn from a "dirichlet" distribution (DrNAS), one "sigmoid" each (FairDARTS)."""

    temperature: tuple[PositiveFloat, PositiveFloat] = (10.0, 0.1)
    """Of the Gumbel softmax, in the first and the last epoch; a line in between."""


class RegularizerOptions(PluginConfig):
    """Terms that are added to the loss of the architecture; the L2 norm is its weight decay."""

    beta_decay: NonNegativeFloat = 0.0
    """Beta-decay: the mean log-sum-exp of a choice's parameters, times this, times the number of epochs the
    architecture has been learning (β-DARTS: 0.5). Keeps the weights of options from drifting apart."""

    entropy: float = 0.0
    """Strength of the mean entropy of a choice (0 to 1): above 0 it makes choices decide, below 0 it keeps
    them open."""

    zero_one: NonNegativeFloat = 0.0
    """Strength of the reward for weights far from one half, for the relaxation "sigmoid" (FairDARTS: 10)."""
