"""Options that gradient searchers share, CDARTS among them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from nasforge.config import PluginConfig

__all__ = ["GuardOptions", "RegularizerOptions", "RelaxationOptions"]


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

    cost: Literal["params", "macs", "latency_ms"] = "macs"
    """Of which cost cost_weight penalises the expected value: that of the final network, averaged over the
    weights of options. For "latency_ms" the recipe names a latency table in [constraints]."""

    cost_weight: NonNegativeFloat = 0.0
    """Strength of the penalty on the expected cost, which counts in units of that of equal weights; 0 for
    none."""

    cost_target: PositiveFloat | None = None
    """Expected costs below this are not penalised, and those above by the share that they are above it; None
    penalises all of it."""


class GuardOptions(PluginConfig):
    """When a search counts as collapsed, and what happens then (R-DARTS, Zela et al., ICLR 2020)."""

    guard: Literal["off", "warn", "stop", "rollback"] = "off"
    """Watches for collapse: "warn" measures and says so, "stop" also ends the search, "rollback" ends it and
    returns the architecture from before. "off" measures nothing."""

    guard_interval: PositiveInt = 1
    """Steps between two measurements of the Hessian's dominant eigenvalue; one takes a few passes over one
    batch, see guard_steps."""

    guard_window: PositiveInt = 5
    """Measurements that are averaged before two averages are compared: the last ones, and as many before."""

    guard_max_growth: float = Field(1.33, gt=1)
    """Largest growth of the eigenvalue from one window to the next; published is 1 / 0.75."""

    guard_max_free: float = Field(0.75, ge=0, le=1)
    """Largest share of options without parameters in the derived architecture; 1 sets no limit."""

    guard_start: NonNegativeInt = 10
    """Steps, counted from when the architecture begins to learn, that are measured but not judged."""

    guard_steps: PositiveInt = 20
    """The most Lanczos steps of a measurement, each a pass or two over one batch; it ends when the error is
    below 1 %."""
