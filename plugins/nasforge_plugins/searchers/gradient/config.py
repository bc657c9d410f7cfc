"""Options of the searchers that train in epochs, and the rows of those that differ in defaults only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from nasforge.space import PartialChannels, ReducedNetworks
from nasforge_plugins.searchers.gradient.options import PerturbationOptions, StageOptions, SupernetOptions

__all__ = ["ROWS", "GradientConfig"]


class GradientConfig(SupernetOptions):
    """Relaxation, regularisers, perturbation, order and schedule; by default first-order DARTS on CIFAR-10.

    With a [distiller] table, an evaluation network of the derived architecture learns beside the search
    network, and both teach each other.
    """

    moved_options: ClassVar[Mapping[str, str]] = {
        **SupernetOptions.moved_options,
        "perturbation": "perturbation.kind",
        "epsilon": "perturbation.epsilon",
        "attack_steps": "perturbation.steps",
    }

    epochs: PositiveInt = 50
    """Passes over the weights split; one is one step."""

    lr: PositiveFloat = 0.025
    """Learning rate of the search network, at the start of half a cosine."""

    min_lr: NonNegativeFloat = 1e-3
    """Learning rate at the end of the cosine."""

    order: Literal[1, 2] = 1
    """Order of the architecture's gradient: 1 takes the weights as they are, 2 as they would be after their
    next step (DARTS, Eq. 6 to 8), which costs three more passes and cannot be combined with a distiller."""

    partial_channels: PositiveInt = 1
    """Options see one channel in so many, the others pass by (PC-DARTS: 4), if the space can; 1 leaves it to
    the space."""

    perturbation: PerturbationOptions = Field(default_factory=PerturbationOptions)
    """The disturbance of option weights while the network learns."""

    stages: StageOptions = Field(default_factory=StageOptions)
    """Progressive stages, in which the search network becomes wider and loses options (DrNAS)."""

    def option_needs(self) -> Mapping[str, type]:
        """Return capabilities of spaces that partial channels and pruning need."""
        found: dict[str, type] = {}
        if self.partial_channels > 1:
            found["partial_channels"] = PartialChannels
        if max(self.stages.partial_channels, default=1) > 1:
            found["stages.partial_channels"] = PartialChannels
        if self.stages.keep:
            found["stages.keep"] = ReducedNetworks
        return found

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        epochs = self.stages.epochs
        if epochs and sum(epochs) != self.epochs:
            raise ValueError(
                f"stages.epochs = {list(epochs)} are {sum(epochs)} in all, but epochs = {self.epochs}; set "
                f"epochs = {sum(epochs)}"
            )
        if epochs and min(epochs) <= self.warmup_epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves nothing of a stage of {min(epochs)} epochs to "
                "search with; lower warmup_epochs"
            )
        if self.stages.keep and self.relaxation.kind == "gumbel":
            raise ValueError(
                'relaxation.kind = "gumbel" draws one option and cannot leave out pruned ones; set '
                "stages.keep = [], or choose another relaxation"
            )
        return self

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves nothing of epochs = {self.epochs} to search "
                "with; raise epochs"
            )
        if self.perturbation.kind != "none" and self.relaxation.kind == "gumbel":
            raise ValueError(
                f'perturbation.kind = "{self.perturbation.kind}" disturbs weights, and relaxation.kind = '
                '"gumbel" runs one option without any; choose another relaxation'
            )
        if self.early_stopping.threshold is not None and self.order == 2:
            raise ValueError(
                f"early_stopping.threshold = {self.early_stopping.threshold} compares gradients at the "
                "weights as they are, and order = 2 looks at those of the next step; set order = 1"
            )
        if self.regularizers.kl and self.relaxation.kind != "dirichlet":
            raise ValueError(
                f'regularizers.kl = {self.regularizers.kl} needs relaxation.kind = "dirichlet", of whose '
                "distributions it is the divergence; set kl = 0"
            )
        if self.regularizers.zero_one and self.relaxation.kind != "sigmoid":
            raise ValueError(
                f'regularizers.zero_one = {self.regularizers.zero_one} needs relaxation.kind = "sigmoid": '
                "weights that add up to 1 cannot all be near 0 or 1; set zero_one = 0"
            )
        return self


ROWS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "darts": (
        "Weights and architecture learn in turns by gradients (DARTS)",
        "The first-order search of Liu et al. (ICLR 2019) on CIFAR-10; order = 2 is the second-order one.",
        {},
    ),
    "gdas": (
        "One operation per edge is drawn for every batch (GDAS)",
        "The search of Dong and Yang (CVPR 2019): Gumbel noise draws one option per choice and batch.\n\n"
        "Published with batches of 256 images.",
        {"epochs": 250, "nesterov": True, "weight_decay": 5e-4, "relaxation": {"kind": "gumbel"}},
    ),
    "pc-darts": (
        "Operations see a quarter of the channels, edges have weights (PC-DARTS)",
        "The search of Xu et al. (ICLR 2020) on CIFAR-10, there with batches of 256 images.",
        {"warmup_epochs": 15, "lr": 0.1, "arch_lr": 6e-4, "edge_weights": "learned", "partial_channels": 4},
    ),
    "drnas": (
        "Option weights are drawn from learned Dirichlet distributions (DrNAS)",
        "The search of Chen et al. (ICLR 2021), in one stage.\n\n"
        "Published on CIFAR-10 are two, in networks of 36 channels and 20 cells; see stages, and the recipe "
        "drnas_cifar10.",
        {"warmup_epochs": 10, "lr": 0.1, "min_lr": 0.0, "arch_lr": 6e-4, "relaxation": {"kind": "dirichlet"}},
    ),
    "fair-darts": (
        "Every operation has a sigmoid of its own, driven to 0 or 1 (FairDARTS)",
        "The search of Chu et al. (ECCV 2020) on CIFAR-10, there with batches of 128 images.\n\n"
        "The `darts` space keeps operations that weigh 0.85 or more, at most two per node.",
        {
            "lr": 0.005,
            "arch_lr": 3e-3,
            "arch_betas": (0.9, 0.999),
            "relaxation": {"kind": "sigmoid"},
            "regularizers": {"zero_one": 10.0},
        },
    ),
    "sdarts": (
        "The network learns to bear disturbed option weights (SDARTS)",
        "The search of Chen and Hsieh (ICML 2020): random (RS) or adversarial (ADV) disturbance.",
        {"perturbation": {"kind": "random"}},
    ),
    "beta-darts": (
        "A decay of the option weights themselves keeps them close (Beta-DARTS)",
        "The search of Ye et al. (CVPR 2022); its beta-decay grows from 0 to 50 over 100 epochs.",
        {"regularizers": {"beta_decay": 0.5}},
    ),
}
"""Summary, description of the options, and defaults that differ from those of DARTS, by name."""
