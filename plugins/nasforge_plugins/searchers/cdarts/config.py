"""Options of CDARTS; the defaults are those of its published CIFAR-10 search on one GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from nasforge.config import PluginConfig
from nasforge_plugins.searchers.gradient.options import PenaltyOptions, SupernetOptions

__all__ = ["PRESETS", "CdartsConfig", "CdartsPenaltyOptions", "PretrainOptions", "QuirkOptions"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "clean": {
        "clip_scope": "per_network",
        "stale_gradients": False,
        "zero_gradients": False,
        "copy_bug": False,
        "distiller_in_both": False,
        "fresh_norms": False,
        "extra_batch": False,
        "early_fade": False,
        "search_classifier": False,
        "first_stage": False,
    },
    "official": {
        "clip_scope": "all",
        "stale_gradients": True,
        "zero_gradients": True,
        "copy_bug": True,
        "distiller_in_both": True,
        "fresh_norms": True,
        "extra_batch": True,
        "early_fade": True,
        "search_classifier": True,
        "first_stage": True,
    },
}
"""Values that each preset fills into the sub-table of quirks where the recipe is silent."""


class QuirkOptions(PluginConfig):
    """The known quirks of the published code, each an option; the preset decides their defaults."""

    clip_scope: Literal["all", "per_network"] = "per_network"
    """The parameters over which one norm is taken: "all" together, those of the architecture and its penalty
    included (official), or those of the network that is stepped. "all" computes gradients that nothing else
    uses."""

    stale_gradients: bool = False
    """Clear only the gradients of the optimiser that steps; what others left counts as well (official)."""

    zero_gradients: bool = False
    """Clear gradients to zeros, as torch 1.2 did: weight decay and momentum keep moving what a step does not
    use (official)."""

    copy_bug: bool = False
    """Stop copying a node's operations at its first identity edge: the weaker edges of that node start at
    random in every cycle (official)."""

    distiller_in_both: bool = False
    """Give the distiller's parameters to the search network's optimiser too (official)."""

    fresh_norms: bool = False
    """Start scales and shifts of batch norms inside operations at 1 and 0 in every cycle, because the
    published bank of NAS-Bench-201 has none (official). Evaluation networks of the darts space have none."""

    extra_batch: bool = False
    """Read one batch more than `sample_ratio` says where that is a whole number (official)."""

    early_fade: bool = False
    """Let the penalty fade as if warmup_epochs · (joint_epochs - 1) joint epochs were over when it begins,
    because the published code takes cycles of the warm-up for epochs (official). With `joint_epochs` = 1 it
    changes nothing."""

    search_classifier: bool = False
    """Let the bank, while it is pretrained, end in the classifier of the search network; the classifier of
    the evaluation networks then starts at random (official)."""

    first_stage: bool = False
    """In spaces with separate stages, start all stages from one draw, and build evaluation networks with the
    cells of the first stage everywhere; the architecture that is found has cells of its own in each
    (official)."""


class PretrainOptions(PluginConfig):
    """Training of the bank before the search, so that evaluation networks start with trained operations.

    No published search uses it; the defaults are those of the published pretraining, but for `epochs`.
    """

    epochs: NonNegativeInt = 0
    """Epochs over the images of both splits, one step each; 0 for none (default as published: 600)."""

    architectures: Literal["uniform", "sampled"] = "uniform"
    """Operations that run: all operations with equal weights ("uniform"), or architectures drawn for every
    batch ("sampled")."""

    samples: PositiveInt = 1
    """Architectures drawn for every batch, whose losses are added."""

    lr: PositiveFloat = 0.025
    """Learning rate at the start of half a cosine, which ends at 0."""

    lr_warmup_epochs: NonNegativeInt = 0
    """Epochs in which the learning rate rises to that cosine (published above batch 256: 5)."""

    weight_decay: NonNegativeFloat = 5e-4
    """Weight decay of the bank."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Share of a label that is spread over all classes."""

    auxiliary_weight: NonNegativeFloat = 0.4
    """Weight of a second loss, that of the distiller's deepest inner head, which does not learn by it; 0 for
    none."""

    operations_lr: PositiveFloat = 0.1
    """Factor of `twin.lr` for the cells of evaluation networks, once the bank was pretrained."""


class CdartsPenaltyOptions(PenaltyOptions):
    """The penalty on options without weights: the L1 norm of their parameters, fading to zero."""

    coefficient: NonNegativeFloat = 5.0
    """Strength when the joint cycles begin; 0 for none."""

    multiplier: NonNegativeFloat = 3.0
    """Factor of the penalty; 3 because the published code adds it once for each of three stages that share
    their parameters."""


class CdartsConfig(SupernetOptions):
    """Hyperparameters of the cycle, and each known quirk of the published code as an option of its own."""

    moved_options: ClassVar[Mapping[str, str]] = {
        **SupernetOptions.moved_options,
        "loss_alpha": "twin.loss_alpha",
        "inherit": "twin.inherit",
        **{name: f"quirks.{name}" for name in PRESETS["clean"]},
    }

    preset: Literal["clean", "official"] = "clean"
    """Defaults of the quirks: "official" repeats the published code to the number, "clean" keeps its
    hyperparameters and computes only the gradients that are used."""

    iterations: PositiveInt = 32
    """Cycles of the search, warm-up included; one cycle is one step."""

    warmup_epochs: NonNegativeInt = 2
    """First cycles, in which only the search network trains, one epoch each (ImageNet 10)."""

    joint_epochs: PositiveInt = 1
    """Epochs per cycle in which both networks and the architecture train together."""

    lr: PositiveFloat = 0.08
    """Learning rate of the search network, constant (0.2 at batch 256, ImageNet 0.8 at 1024)."""

    arch_weight_decay: NonNegativeFloat = 0.0
    """Weight decay of the architecture parameters (ImageNet 1e-5)."""

    edge_weights: Literal["learned", "mean", "sum"] = "mean"
    """How a node adds its inputs: "mean" is the published search, "sum" is DARTS, "learned" trains one
    softmax per node."""

    renew_optimizers: bool = True
    """Start every cycle with new optimisers, as published; false keeps momentum and Adam's moments."""

    penalty: CdartsPenaltyOptions = Field(default_factory=CdartsPenaltyOptions)
    """The penalty on options without weights, which fades to zero."""

    pretrain: PretrainOptions = Field(default_factory=PretrainOptions)
    """Training of the bank before the search."""

    quirks: QuirkOptions = Field(default_factory=QuirkOptions)
    """The known quirks of the published code."""

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        preset, quirks = data.get("preset", "clean"), data.get("quirks", {})
        if not isinstance(preset, str) or not isinstance(quirks, Mapping):
            return data
        return {**data, "quirks": {**PRESETS.get(preset, {}), **quirks}}

    @model_validator(mode="after")
    def _check_cycles(self) -> CdartsConfig:
        if self.warmup_epochs >= self.iterations:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves nothing of iterations = {self.iterations} to "
                "search with; raise iterations"
            )
        return self
