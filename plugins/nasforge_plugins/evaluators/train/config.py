"""Options of the ``train`` evaluator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from nasforge.config import EvaluatorConfig
from nasforge_plugins.evaluators.train.options import AugmentOptions, EmaOptions, StopOptions

__all__ = ["TrainConfig"]


class TrainConfig(EvaluatorConfig):
    """How a network is trained from scratch. The defaults suit small images and a short training."""

    epochs: PositiveInt = 50
    """Passes over the training images. The published CIFAR training makes 600, ImageNet 250."""

    epoch_batches: PositiveInt | None = None
    """Batches of an epoch, for trainings shorter than a pass over the images; None: one pass."""

    scale: Literal["final", "eval"] = "final"
    """Size of the networks that a search trains: the final one, or that of the space's evaluation network
    (for instance `eval_channels` and `eval_cells`). The train stage always builds the final one."""

    score: Literal["accuracy", "loss"] = "accuracy"
    """Score that a search compares: the held-out accuracy in percent, or minus the held-out cross-entropy,
    which tells short trainings apart better."""

    score_norms: Literal["running", "batch"] = "running"
    """Statistics of batch norms while a search scores: the running ones, or those of each scored batch:
    the running ones are far off after a few dozen updates."""

    score_batches: PositiveInt | None = None
    """Batches of the held-out split that a score in a search is measured on: the first of a training pass,
    augmented as there, and the same for all architectures. None: all images, as they are."""

    budgets: Literal["restart", "continue"] = "restart"
    """Meaning of a searcher's budget of b epochs in a search. "restart": a training of b epochs, from the
    beginning. "continue": the first b epochs of the training of `epochs`; a larger budget continues from
    there, so the weights of every candidate are kept."""

    batch_size: PositiveInt = 64
    """Images per batch."""

    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged for one step of the optimiser, for large batches that do not fit
    into memory. Batch norms see single batches; a group of fewer batches ends the epoch."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimiser of the weights."""

    lr: PositiveFloat = 0.025
    """Learning rate the schedule starts from. AdamW wants about 0.001."""

    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD."""

    nesterov: bool = False
    """Whether SGD looks ahead (Nesterov momentum)."""

    weight_decay: NonNegativeFloat | Literal["by_size"] = 3e-4
    """Decay of all weights. "by_size" is CDARTS's rule for CIFAR: 3e-4 below 3.5 million parameters (and not
    exactly 3.0 million), else 5e-4."""

    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    """How the learning rate changes from epoch to epoch: along half a cosine, by the factor gamma
    ("exponential", as DARTS trains on ImageNet), or not at all."""

    gamma: float = Field(0.97, gt=0, le=1)
    """Factor of the learning rate per epoch in the exponential schedule."""

    min_lr: NonNegativeFloat = 0.0
    """Where the cosine schedule ends."""

    warmup_epochs: NonNegativeInt = 0
    """Epochs at the start whose learning rate rises linearly to the schedule's."""

    clip: NonNegativeFloat = 5.0
    """Largest norm of all gradients together; larger ones are scaled down. 0 switches clipping off."""

    drop_path: Annotated[float, Field(ge=0, lt=1)] | Literal["by_size"] = 0.0
    """Share of images for which a path is dropped at the end of training; it rises linearly from 0. "by_size"
    is CDARTS's rule for CIFAR: 0.2 below 3 million parameters, else 0.3."""

    auxiliary_weight: NonNegativeFloat = 0.0
    """Weight of the loss of an auxiliary classifier on an inner feature map (published: 0.4). 0 builds none;
    otherwise the space must have one."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes (published for ImageNet: 0.1)."""

    class_weights: Literal["none", "balanced"] | tuple[PositiveFloat, ...] = "none"
    """Weights of the classes in the training loss, for classes of different sizes. "balanced": N / (K n) for
    a class of n among N images in K classes (King and Zeng, 2001); a list: a number above 0 per class. The
    loss of a batch is the mean by these weights."""

    cutout: NonNegativeInt = 0
    """Side in pixels of the square that is blanked in every training image (published for CIFAR: 16)."""

    augment: AugmentOptions = Field(default_factory=AugmentOptions)
    """Random changes of the training batches."""

    ema: EmaOptions = Field(default_factory=EmaOptions)
    """Exponential moving average of the weights."""

    stop: StopOptions = Field(default_factory=StopOptions)
    """Early stopping by held-out training images."""

    keep_epochs: PositiveInt = 5
    """How many of the last epochs keep their weights. The test stage measures all of them: it reports the
    last epoch as `accuracy`, and the best of these, chosen on the test images, as `accuracy_best`. With
    `stop.patience` only the best held-out epoch is kept and measured."""

    init: str = ""
    """Folder of a finished run whose trained weights this training starts from, with a new optimiser and
    schedule; in `[train]` only. Space, its options and the architecture must be the same (searcher `fixed`).
    With another number of classes the classifier starts anew. Empty: random weights."""

    teacher: str = ""
    """Folder of a finished run whose network teaches this one; or "baseline", for spaces made from a network:
    that network. Needs a distiller table beside this one."""

    distill_weight: float = Field(0.5, ge=0, le=1)
    """Share of the teacher's loss; the rest goes to the labels."""

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimizer 'sgd' and a momentum above 0")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) must not be above lr ({self.lr:g})")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must not be above epochs ({self.epochs})")
        if self.augment.mixes:
            self._check_mixing()
        return self

    def _check_mixing(self) -> None:
        mixed = "augment.mixup" if self.augment.mixup else "augment.cutmix"
        if self.batch_size == 1:
            raise ValueError(
                f"{mixed} mixes the images of one batch, also with accumulate, and batch_size is 1: set it "
                "to 2 or more"
            )
        if self.class_weights != "none":
            raise ValueError(
                f"{mixed} gives an image shares of several classes, so class_weights cannot tell its weight: "
                "remove one of the two"
            )
        if self.teacher:
            raise ValueError(
                f"{mixed} gives an image shares of several classes, and distillers compare with one label: "
                "remove it, or teacher"
            )

    def trained_batches(self) -> tuple[str, ...]:
        """Return the option `batch_size`."""
        return ("batch_size",)

    def reports(self) -> frozenset[str]:
        """Return what a training tells; the images decide which of ``select`` and ``arch`` is scored."""
        splits = ("train", "select", "arch")
        measured = {f"{split}_{name}" for split in splits for name in ("accuracy", "loss")}
        return frozenset({"params", "macs", "epochs", *measured})
