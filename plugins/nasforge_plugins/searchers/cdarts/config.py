"""Options of CDARTS; the defaults are those of its published CIFAR-10 search on one GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from nasforge_plugins.searchers.gradient.options import GuardOptions, RegularizerOptions, RelaxationOptions

__all__ = ["PRESETS", "CdartsConfig"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "clean": {
        "clip_scope": "per_network",
        "stale_gradients": False,
        "zero_gradients": False,
        "copy_bug": False,
        "distiller_in_both": False,
    },
    "official": {
        "clip_scope": "all",
        "stale_gradients": True,
        "zero_gradients": True,
        "copy_bug": True,
        "distiller_in_both": True,
    },
}
"""What each preset fills in where the recipe is silent."""


class CdartsConfig(RelaxationOptions, RegularizerOptions, GuardOptions):
    """Hyperparameters of the cycle, and each known quirk of the published code as an option of its own."""

    preset: Literal["clean", "official"] = "clean"
    """What the quirks below default to: "official" repeats the published code to the number, "clean" keeps
    its hyperparameters and computes only the gradients that are used."""

    iterations: PositiveInt = 32
    """Cycles of the search, warm-up included; one cycle is one step."""

    warmup_epochs: NonNegativeInt = 2
    """First cycles, in which only the search network trains, one epoch each (ImageNet 10)."""

    eval_warmup_epochs: NonNegativeInt = 1
    """Epochs per cycle in which the new evaluation network trains alone (ImageNet 3)."""

    joint_epochs: PositiveInt = 1
    """Epochs per cycle in which both networks and the architecture train together."""

    sample_ratio: float = Field(1.0, gt=0, le=1)
    """Share of every epoch's batches that is used (ImageNet 0.2)."""

    lr: PositiveFloat = 0.08
    """Learning rate of the search network, constant (0.2 at batch 256, ImageNet 0.8 at 1024)."""

    eval_lr: PositiveFloat = 0.08
    """Learning rate of the evaluation network and the distiller, constant."""

    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of both networks' SGD."""

    weight_decay: NonNegativeFloat = 3e-4
    """Weight decay of both networks (ImageNet 1e-5)."""

    arch_lr: PositiveFloat = 3e-4
    """Learning rate of Adam on the architecture parameters."""

    arch_betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's first and second moments."""

    arch_weight_decay: NonNegativeFloat = 0.0
    """Weight decay of the architecture parameters (ImageNet 1e-5)."""

    arch_init_std: NonNegativeFloat = 1e-3
    """Deviation of the normal distribution that architecture parameters start from."""

    edge_weights: Literal["learned", "mean", "sum"] = "mean"
    """How a node adds its inputs: "mean" is the published search, "sum" is DARTS, "learned" trains one
    softmax per node."""

    clip: NonNegativeFloat = 5.0
    """Largest norm of the gradients; 0 does not clip."""

    loss_alpha: PositiveFloat = 1.0
    """λ' of the joint loss: cross-entropies / λ' + λ' · distillation + penalty."""

    distill_weight: NonNegativeFloat = 1.0
    """Further factor of the distillation term; 0 lets the networks share a stem, but teach nothing."""

    l1_coefficient: NonNegativeFloat = 5.0
    """Strength of the penalty on options without weights when the joint cycles begin; 0 for none."""

    l1_ratio: PositiveFloat = 0.667
    """Share of the joint cycles after which the penalty has fallen to zero (ImageNet 0.5)."""

    l1_options: tuple[str, ...] | None = None
    """Options that are penalised; unset: those the space calls free of parameters."""

    l1_multiplier: NonNegativeFloat = 3.0
    """Factor of the penalty; 3 because the published code adds it once for each of three stages that share
    their parameters."""

    l1_reduction: Literal["sum", "mean"] = "sum"
    """Whether the penalty adds or averages over the penalised parameters (NAS-Bench-201: "mean")."""

    inherit: bool = True
    """Give each evaluation network the weights its operations had before."""

    share_stem: bool = True
    """Make the stem one for both networks, as published; false gives each its own, so that the evaluation
    network's warm-up does not move what the search network computes."""

    renew_optimizers: bool = True
    """Start every cycle with new optimisers, as published; false keeps momentum and Adam's moments."""

    clip_scope: Literal["all", "per_network"] = "per_network"
    """What one norm is taken over: "all" parameters together, those of the architecture and its penalty
    included (official), or the network that is stepped. "all" computes gradients that nothing else uses."""

    stale_gradients: bool = False
    """Clear only the gradients of the optimiser that steps; what others left counts as well (official)."""

    zero_gradients: bool = False
    """Clear gradients to zeros, as torch 1.2 did: weight decay and momentum go on moving what a step does not
    use (official)."""

    copy_bug: bool = False
    """Stop copying a node's operations at its first identity edge: the weaker edges of that node start at
    random in every cycle (official)."""

    distiller_in_both: bool = False
    """Give the distiller's parameters to the search network's optimiser too (official)."""

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        preset = data.get("preset", "clean")
        return {**PRESETS.get(preset, {}), **data} if isinstance(preset, str) else data

    @model_validator(mode="after")
    def _check_cycles(self) -> CdartsConfig:
        if self.warmup_epochs >= self.iterations:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves nothing of iterations = {self.iterations} to "
                "search with; raise iterations"
            )
        return self
