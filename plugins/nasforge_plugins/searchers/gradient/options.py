"""Options that all gradient searchers share, grouped into sub-tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from nasforge.config import PluginConfig, SearcherConfig
from nasforge_plugins.searchers.gradient.part_options import (
    AlignmentOptions,
    EarlyStoppingOptions,
    MutationOptions,
)

__all__ = [
    "AlignmentOptions",
    "CostOptions",
    "EarlyStoppingOptions",
    "GuardOptions",
    "MutationOptions",
    "PenaltyOptions",
    "PerturbationOptions",
    "RegularizerOptions",
    "RelaxationOptions",
    "StageOptions",
    "SupernetOptions",
    "TwinOptions",
]


class RelaxationOptions(PluginConfig):
    """How architecture parameters become the weights of options."""

    kind: Literal["softmax", "gumbel", "dirichlet", "sigmoid"] = "softmax"
    """How the weights of a choice's options are made: "softmax" (DARTS), one option drawn per batch with
    "gumbel" noise (GDAS), drawn from a "dirichlet" distribution (DrNAS), one "sigmoid" each (FairDARTS)."""

    temperature: tuple[PositiveFloat, PositiveFloat] = (10.0, 0.1)
    """Of the Gumbel softmax, in the first and the last epoch; a line in between."""


class PerturbationOptions(PluginConfig):
    """Disturbs the option weights while the network learns (SDARTS)."""

    kind: Literal["none", "random", "adversarial"] = "none"
    """Disturbance of the option weights: "random" is uniform noise (SDARTS-RS), "adversarial" the disturbance
    that the network finds hardest (SDARTS-ADV)."""

    epsilon: tuple[NonNegativeFloat, NonNegativeFloat] = (0.03, 0.3)
    """Largest disturbance of a weight, in the first epoch and behind the last one; a line in between."""

    steps: PositiveInt = 7
    """Steps that look for the hardest disturbance, each a forward and a backward pass."""


class StageOptions(PluginConfig):
    """Progressive stages: the search network becomes wider, and loses options (DrNAS)."""

    epochs: tuple[PositiveInt, ...] = ()
    """Epochs of each stage, the first warmup_epochs of which leave the architecture alone; empty for a search
    in one stage. They add up to the epochs of the search."""

    partial_channels: tuple[PositiveInt, ...] = ()
    """Per stage, options see one channel in so many; later numbers divide the channels into fewer groups.
    Empty: partial_channels of the search, in every stage."""

    keep: tuple[PositiveInt, ...] = ()
    """How many options every choice of an operation keeps when each stage after the first begins, of the
    largest architecture parameters; empty keeps all."""

    @model_validator(mode="after")
    def _check_lengths(self) -> StageOptions:
        count = len(self.epochs)
        if len(self.partial_channels) not in (0, count):
            raise ValueError(
                f"partial_channels has {len(self.partial_channels)} numbers for {count} stages; write one "
                "per stage"
            )
        if self.keep and len(self.keep) != count - 1:
            raise ValueError(
                f"keep has {len(self.keep)} numbers for {count} stages; write one per stage after the first"
            )
        if list(self.partial_channels) != sorted(self.partial_channels, reverse=True):
            raise ValueError(f"partial_channels = {list(self.partial_channels)} must not rise")
        if list(self.keep) != sorted(self.keep, reverse=True) or min(self.keep, default=2) < 2:
            raise ValueError(f"keep = {list(self.keep)} must not rise, and be 2 or more")
        return self


class PenaltyOptions(PluginConfig):
    """The penalty on options without weights (CDARTS): the L1 norm of their parameters, fading to zero."""

    coefficient: NonNegativeFloat = 0.0
    """Strength when the architecture begins to learn; 0 for none (CDARTS: 5)."""

    ratio: PositiveFloat = 0.667
    """Share of the steps after the warm-up in which the penalty falls to zero (CDARTS on ImageNet: 0.5)."""

    options: tuple[str, ...] | None = None
    """Options that are penalised, [] for none; unset: those the space calls free of parameters. Options that
    the space lacks are refused: name others where a recipe gets another space."""

    multiplier: NonNegativeFloat = 1.0
    """Factor of the penalty; 3 in CDARTS, because the published code adds it once for each of three stages
    that share their parameters."""

    reduction: Literal["sum", "mean"] = "sum"
    """Whether the penalty adds or averages over the penalised parameters ("mean" for NAS-Bench-201)."""


class RegularizerOptions(PluginConfig):
    """Further terms of the architecture's loss. Its L2 norm is its weight decay."""

    beta_decay: NonNegativeFloat = 0.0
    """Beta-decay: the mean log-sum-exp of a choice's parameters, times this, times the number of epochs the
    architecture has been learning (β-DARTS: 0.5). Keeps the weights of options from drifting apart."""

    entropy: float = 0.0
    """Strength of the mean entropy of a choice (0 to 1): above 0 it makes choices decide, below 0 it keeps
    them open."""

    kl: NonNegativeFloat = 0.0
    """Strength of the divergence of the option weights' distributions from the uniform one, added over the
    choices, for the relaxation "dirichlet" (DrNAS, reg_type kl: 1e-3, with arch_weight_decay = 0)."""

    zero_one: NonNegativeFloat = 0.0
    """Strength of the reward for weights far from one half, for the relaxation "sigmoid" (FairDARTS: 10)."""


class CostOptions(PluginConfig):
    """The penalty on the expected cost of the final network, averaged over the weights of options."""

    metric: Literal["params", "macs", "latency_ms"] = "macs"
    """The cost. For "latency_ms" the recipe names a latency table in [constraints]."""

    weight: NonNegativeFloat = 0.0
    """Strength of the penalty, which counts in units of the cost of equal weights; 0 for none."""

    target: PositiveFloat | None = None
    """Expected costs below this are not penalised, and those above by the share that they are above it; None
    penalises all of it."""


class GuardOptions(PluginConfig):
    """When a search counts as collapsed, and what happens then (R-DARTS, Zela et al., ICLR 2020)."""

    policy: Literal["off", "warn", "stop", "rollback"] = "off"
    """Watches for collapse: "warn" measures and says so, "stop" also ends the search, "rollback" ends it and
    returns the architecture from before. "off" measures nothing."""

    interval: PositiveInt = 1
    """Steps between two measurements of the Hessian's dominant eigenvalue; one takes a few passes over one
    batch, see steps."""

    window: PositiveInt = 5
    """Measurements that are averaged before two averages are compared: the last ones, and as many before."""

    max_growth: float = Field(default=1.33, gt=1)
    """Largest growth of the eigenvalue from one window to the next; published is 1 / 0.75."""

    max_free: float = Field(default=0.75, ge=0, le=1)
    """Largest share of options without parameters in the derived architecture; 1 sets no limit."""

    start: NonNegativeInt = 10
    """Steps, counted from when the architecture begins to learn, that are measured but not judged."""

    steps: PositiveInt = 20
    """The most Lanczos steps of a measurement, each a pass or two over one batch; it ends when the error is
    below 1 %."""


class TwinOptions(PluginConfig):
    """The evaluation network that learns beside the search network if there is a [distiller] table."""

    lr: PositiveFloat = 0.08
    """Learning rate of the evaluation network and the distiller, constant."""

    warmup_epochs: NonNegativeInt = 1
    """Passes over the arch split in which a new evaluation network first trains alone (CDARTS on ImageNet:
    3)."""

    interval: PositiveInt = 1
    """Steps between two evaluation networks, each of the latest architecture."""

    inherit: bool = True
    """Give each evaluation network the weights its operations had before."""

    share_stem: bool = True
    """Make the stem one for both networks, as published; false gives each its own, so that the evaluation
    network's warm-up does not move what the search network computes."""

    loss_alpha: PositiveFloat = 1.0
    """λ' of the joint loss: cross-entropies / λ' + λ' · distillation + penalty."""

    distill_weight: NonNegativeFloat = 1.0
    """Further factor of the distillation term; 0 lets the networks share a stem, but teach nothing."""


class SupernetOptions(SearcherConfig):
    """Options of every search by gradients in a supernet."""

    moved_options: ClassVar[Mapping[str, str]] = {
        "relaxation": "relaxation.kind",
        "temperature": "relaxation.temperature",
        "l1_coefficient": "penalty.coefficient",
        "l1_ratio": "penalty.ratio",
        "l1_options": "penalty.options",
        "l1_multiplier": "penalty.multiplier",
        "l1_reduction": "penalty.reduction",
        "beta_decay": "regularizers.beta_decay",
        "entropy": "regularizers.entropy",
        "zero_one": "regularizers.zero_one",
        "cost": "cost.metric",
        "cost_weight": "cost.weight",
        "cost_target": "cost.target",
        "guard": "guard.policy",
        "guard_interval": "guard.interval",
        "guard_window": "guard.window",
        "guard_max_growth": "guard.max_growth",
        "guard_max_free": "guard.max_free",
        "guard_start": "guard.start",
        "guard_steps": "guard.steps",
        "eval_lr": "twin.lr",
        "eval_warmup_epochs": "twin.warmup_epochs",
        "eval_interval": "twin.interval",
        "share_stem": "twin.share_stem",
        "distill_weight": "twin.distill_weight",
    }

    warmup_epochs: NonNegativeInt = 0
    """First epochs, in which the architecture does not learn."""

    sample_ratio: float = Field(1.0, gt=0, le=1)
    """Share of every epoch's batches that is used (CDARTS on ImageNet: 0.2)."""

    lr: PositiveFloat = 0.025
    """Learning rate of the search network."""

    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of the networks' SGD."""

    nesterov: bool = False
    """Whether the momentum is Nesterov's (GDAS)."""

    weight_decay: NonNegativeFloat = 3e-4
    """Weight decay of the networks."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of every label that is spread over all classes, in the losses that train the architecture and the
    weights of both networks (Szegedy et al., 2016, section 7). Measurements are not smoothed."""

    clip: NonNegativeFloat = 5.0
    """Largest norm of a network's gradients; 0 does not clip."""

    arch_lr: PositiveFloat = 3e-4
    """Learning rate of Adam on the architecture parameters, constant."""

    arch_betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's first and second moments."""

    arch_weight_decay: NonNegativeFloat = 1e-3
    """Weight decay of the architecture parameters: their L2 regulariser."""

    arch_init_std: NonNegativeFloat = 1e-3
    """Deviation of the normal distribution that architecture parameters start from."""

    edge_weights: Literal["learned", "mean", "sum"] = "sum"
    """How a node adds its inputs: "sum" is DARTS, "learned" trains one softmax per node (the edge
    normalisation of PC-DARTS), "mean" averages."""

    relaxation: RelaxationOptions = Field(default_factory=RelaxationOptions)
    """How architecture parameters become the weights of options."""

    penalty: PenaltyOptions = Field(default_factory=PenaltyOptions)
    """The penalty on options without weights, which fades to zero."""

    regularizers: RegularizerOptions = Field(default_factory=RegularizerOptions)
    """Further terms of the architecture's loss."""

    cost: CostOptions = Field(default_factory=CostOptions)
    """The penalty on the expected cost of the final network."""

    guard: GuardOptions = Field(default_factory=GuardOptions)
    """When a search counts as collapsed, and what happens then."""

    mutation: MutationOptions = Field(default_factory=MutationOptions)
    """Edges that run one operation with weights alone, while the network learns (EM-DARTS)."""

    alignment: AlignmentOptions = Field(default_factory=AlignmentOptions)
    """Alignment of the gradients that equal cells have in their option weights (Λ-DARTS)."""

    early_stopping: EarlyStoppingOptions = Field(default_factory=EarlyStoppingOptions)
    """Operations that stop learning when training and validation gradients disagree (OLES)."""

    twin: TwinOptions = Field(default_factory=TwinOptions)
    """The evaluation network that learns beside the search network, with a [distiller] table."""

    def trained_batches(self) -> tuple[str, ...]:
        """Return the batch size of the data."""
        return ("data.batch_size",)

    @model_validator(mode="after")
    def _check_alignment(self) -> Self:
        if self.alignment.strength and self.relaxation.kind == "gumbel":
            raise ValueError(
                f"alignment.strength = {self.alignment.strength} moves weights of options, and "
                'relaxation.kind = "gumbel" runs one option without any; choose another relaxation'
            )
        return self

    @model_validator(mode="after")
    def _check_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError(
                "nesterov = true needs a momentum above 0; raise momentum, or set nesterov = false"
            )
        return self
