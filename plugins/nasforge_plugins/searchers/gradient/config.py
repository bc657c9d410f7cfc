"""Options of every gradient searcher; the defaults are those of first-order DARTS on CIFAR-10."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from nasforge_plugins.searchers.gradient.options import GuardOptions, RegularizerOptions, RelaxationOptions

__all__ = ["GradientConfig"]


class GradientConfig(RelaxationOptions, RegularizerOptions, GuardOptions):
    """Relaxation, regularisers, perturbation, order and schedule, combined at will.

    With a [distiller] table, an evaluation network of the derived architecture learns beside the search
    network, and both teach each other.
    """

    epochs: PositiveInt = 50
    """Passes over the weights split; one is one step."""

    warmup_epochs: NonNegativeInt = 0
    """First epochs, in which the architecture does not learn."""

    sample_ratio: float = Field(1.0, gt=0, le=1)
    """Share of every epoch's batches that is used."""

    lr: PositiveFloat = 0.025
    """Learning rate of the search network, at the start of half a cosine."""

    min_lr: NonNegativeFloat = 1e-3
    """Learning rate at the end of the cosine."""

    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of the search network's SGD."""

    weight_decay: NonNegativeFloat = 3e-4
    """Weight decay of the search network."""

    clip: NonNegativeFloat = 5.0
    """Largest norm of the search network's gradients; 0 does not clip."""

    arch_lr: PositiveFloat = 3e-4
    """Learning rate of Adam on the architecture parameters, constant."""

    arch_betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's first and second moments."""

    arch_weight_decay: NonNegativeFloat = 1e-3
    """Weight decay of the architecture parameters: their L2 regulariser."""

    arch_init_std: NonNegativeFloat = 1e-3
    """Deviation of the normal distribution that architecture parameters start from."""

    order: Literal[1, 2] = 1
    """1 takes the weights as they are; 2 as they would be after their next step (DARTS, Eq. 6 to 8), which
    costs three more passes, and cannot be combined with a distiller."""

    edge_weights: Literal["learned", "mean", "sum"] = "sum"
    """How a node adds its inputs: "sum" is DARTS, "learned" trains one softmax per node (the edge
    normalisation of PC-DARTS), "mean" averages."""

    partial_channels: PositiveInt = 1
    """Options see one channel in so many, the others pass by (PC-DARTS: 4), if the space can; 1 leaves it to
    the space."""

    perturbation: Literal["none", "random", "adversarial"] = "none"
    """What disturbs the option weights while the network learns (SDARTS): uniform noise, or the disturbance
    that the network finds hardest."""

    epsilon: tuple[NonNegativeFloat, NonNegativeFloat] = (0.03, 0.3)
    """Largest disturbance of a weight, in the first epoch and behind the last one; a line in between."""

    attack_steps: PositiveInt = 7
    """Steps that look for the hardest disturbance, each a forward and a backward pass."""

    l1_coefficient: NonNegativeFloat = 0.0
    """Strength of the penalty on the parameters of options without weights when the architecture begins to
    learn; 0 for none (CDARTS: 5)."""

    l1_ratio: PositiveFloat = 0.667
    """Share of the epochs after the warm-up in which that penalty falls to zero."""

    l1_options: tuple[str, ...] | None = None
    """Options that are penalised; unset: those the space calls free of parameters."""

    l1_reduction: Literal["sum", "mean"] = "sum"
    """Whether the penalty adds or averages over the penalised parameters."""

    eval_lr: PositiveFloat = 0.08
    """Learning rate of the evaluation network and the distiller, constant; with a [distiller] table."""

    eval_warmup_epochs: NonNegativeInt = 1
    """Passes over the arch split in which a new evaluation network first trains alone."""

    eval_interval: PositiveInt = 1
    """Epochs between two evaluation networks, each of the latest architecture."""

    share_stem: bool = True
    """Make the stem one for search and evaluation network; false gives each its own."""

    distill_weight: NonNegativeFloat = 1.0
    """Factor of the distillation term in the loss of architecture and evaluation network."""

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves nothing of epochs = {self.epochs} to search "
                "with; raise epochs"
            )
        if self.perturbation != "none" and self.relaxation == "gumbel":
            raise ValueError(
                f'perturbation = "{self.perturbation}" disturbs weights, and relaxation = "gumbel" runs one '
                "option without any; choose another relaxation"
            )
        if self.zero_one and self.relaxation != "sigmoid":
            raise ValueError(
                f'zero_one = {self.zero_one} needs relaxation = "sigmoid": weights that add up to 1 cannot '
                "all be near 0 or 1; set zero_one = 0"
            )
        return self
