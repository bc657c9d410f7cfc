"""One network on its way through its epochs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW, Optimizer

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.cost import count_parameters
from nasforge.data import Split
from nasforge.distiller import Distiller
from nasforge.errors import RunError
from nasforge.images import cutout
from nasforge.nn import Network, Output, set_drop_path
from nasforge.plugins.capabilities import KnownBaseline
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace, Task
from nasforge.training.averaging import WeightAverage
from nasforge.training.epochs import EpochTraining
from nasforge.training.loops import Scores, cosine_lr
from nasforge.training.shards import shard_generator
from nasforge_plugins.evaluators.train.augmenting import Augmentation
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.initial import load_initial

__all__ = ["BASELINE", "Training", "load_teacher", "size_rule"]


BASELINE = "baseline"
"""The teacher that is the network a space was made from."""

FAR = 1_000_000
"""Distance between the orders of images of two repetitions; no training has as many epochs."""


def size_rule(params: int) -> tuple[float, float]:
    """Return weight decay and final drop-path rate for a CIFAR network of this size.

    This is the rule of CDARTS's published training, with its strict limits: a network of exactly 3.0 or 3.5
    million parameters gets the stronger pair.

    Args:
        params: Parameters without auxiliary head.
    """
    millions = params / 1e6
    if millions < 3.0:
        return 3e-4, 0.2
    return (3e-4, 0.3) if 3.0 < millions < 3.5 else (5e-4, 0.3)


def load_teacher(path: str, ctx: Context, task: Task) -> Network:
    """Load the network of a finished run, frozen.

    Args:
        path: Folder of the run, or `BASELINE`: the network of the space's baseline, with the weights that it
            comes with.
        ctx: Loads the network, and where it computes.
        task: Task of the student; the teacher must accept and predict the same.

    Raises:
        RunError: There is no such folder, or its network does not fit the task.
    """
    runtime = ctx.runtime
    if path == BASELINE:
        space = cast("NetworkSpace[Any]", ctx.space)
        assert isinstance(space, KnownBaseline), "the evaluator has checked that the space has a baseline"
        loaded = space.build(task, space.baseline)
    else:
        try:
            loaded = ctx.load_network(path)
        except RunError as error:
            raise RunError(f"teacher: {error}") from None
    teacher = runtime.prepare(loaded).eval().requires_grad_(False)
    image = torch.zeros(1, task.in_channels, task.image_size, task.image_size)
    try:
        with torch.no_grad():
            classes = teacher(runtime.prepare_images(image)).logits.shape[1]
    except RuntimeError as error:
        raise RunError(
            f"teacher: the network of {path!r} cannot read images of {task.in_channels} channels and "
            f"{task.image_size} pixels ({str(error).splitlines()[0]}). Use a teacher of the same data."
        ) from None
    if classes != task.num_classes:
        raise RunError(
            f"teacher: the network of {path!r} knows {classes} classes, the data has {task.num_classes}. "
            "Use a teacher of the same classes."
        )
    return teacher


class Training(EpochTraining):
    """A network with all that trains it: auxiliary head, optimiser, teacher's loss.

    Build it with the global torch generator seeded: the network is initialised first, so that its weights do
    not depend on what trains it.

    Args:
        config: How to train.
        ctx: Space, data and device.
        arch: The architecture.
        epochs: Length of the training.
        distiller: Not yet bound; copied, so that the next training starts from the same state. None: no
            teacher.
        teacher: Frozen network, with ``distiller``.
        repeat: Index of a repetition; each has an order of images of its own.
        init: Folder of a run whose weights replace the initial ones; empty for none.
        class_weights: Weights of the classes in the loss ``(classes,)``; None counts all images the same.
    """

    def __init__(
        self,
        config: TrainConfig,
        ctx: Context,
        arch: Arch,
        epochs: int,
        distiller: Distiller[Any] | None = None,
        teacher: Network | None = None,
        repeat: int = 0,
        init: str = "",
        class_weights: Tensor | None = None,
    ) -> None:
        assert ctx.data is not None
        self.config, self.ctx, self.epochs = config, ctx, epochs
        scale = config.scale if ctx.stage == "search" else "final"
        self.first_order = repeat * FAR
        space, task, runtime = cast("NetworkSpace[Any]", ctx.space), ctx.data.task, ctx.runtime
        self.network = runtime.prepare_training(space.build(task, arch, scale)).train()
        parts: dict[str, nn.Module] = {"network": self.network}
        self.auxiliary: nn.Module | None = None
        if config.auxiliary_weight:
            found = space.build_auxiliary(task)
            assert found is not None, "the evaluator has checked that the space has an auxiliary head"
            head, self.feature = found
            self.auxiliary = parts["auxiliary"] = runtime.prepare(head).train()
        self.teacher, self.distiller = teacher, None
        if distiller is not None and teacher is not None:
            self.distiller = copy.deepcopy(distiller)
            self.distiller.bind(self.network.feature_info, teacher.feature_info, task)
            parts["distiller"] = runtime.prepare(self.distiller).train()
        decay, drop_path = size_rule(count_parameters(self.network))
        self.drop_path = drop_path if config.drop_path == "by_size" else config.drop_path
        parameters = [p for p in nn.ModuleDict(parts).parameters() if p.requires_grad]
        optimizer = _optimizer(config, parameters, decay)
        super().__init__(ctx.data, runtime, parts, optimizer, parameters, config.clip, config.accumulate)
        self.class_weights = None if class_weights is None else class_weights.to(runtime.device)
        self.augmentation = Augmentation(config.augment, task.num_classes, ctx.data.preprocessing)
        self.average: WeightAverage | None = None
        if init:
            load_initial(self.network, init, ctx, task)
        if config.ema.decay:
            ema = config.ema
            self.average = WeightAverage(self.network, ema.decay, warmup=ema.warmup, every=ema.every)

    def lr(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        config = self.config
        lr = config.lr * config.gamma**epoch if config.schedule == "exponential" else config.lr
        min_lr = config.min_lr if config.schedule == "cosine" else lr  # a cosine between equals is flat
        return cosine_lr(epoch, self.epochs, lr, min_lr, config.warmup_epochs)

    def drop_path_rate(self, epoch: int) -> float:
        """Return the drop-path rate of an epoch, counted from 0: ``rate · epoch / epochs``."""
        return self.drop_path * epoch / self.epochs

    def after_update(self) -> None:
        """Take the new weights into the average, if there is one."""
        if self.average is not None:
            self.average.update()

    def result(self) -> dict[str, Tensor]:
        """Return the weights that are tested and stored: the average if there is one."""
        return self.network.state_dict() if self.average is None else self.average.weights()

    def scored(self) -> AbstractContextManager[None]:
        """Return a context in which the network has the weights that are scored; see `result`."""
        return nullcontext() if self.average is None else self.average.applied()

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next epochs depend on."""
        average = {} if self.average is None else {"average": self.average.state_dict()}
        return {**super().state_dict(), **average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def begin_epoch(self, epoch: int) -> None:
        """Set what is constant during an epoch, and seed what is drawn in it.

        Args:
            epoch: From 0.
        """
        set_drop_path(self.network, self.drop_path_rate(epoch))
        seed = derive_seed(self.ctx.seed, "cutout", self.first_order + epoch)
        self._cutout = torch.Generator(self.runtime.device).manual_seed(seed)
        self.augmentation.start(derive_seed(self.ctx.seed, "augment", self.first_order + epoch))

    def run_epoch(self, epoch: int, split: Split, report: Callable[[Mapping[str, float]], None]) -> Scores:
        """Train for one epoch.

        Args:
            epoch: From 0.
            split: The images to train on.
            report: Called about ten times.

        Raises:
            RunError: The loss is infinite or not a number; names epoch and batch.
        """
        self.begin_epoch(epoch)
        return self.train(
            split,
            epoch,
            self.epochs,
            lr=self.lr(epoch),
            batch_size=self.config.batch_size,
            batches=self.config.epoch_batches,
            first_order=self.first_order,
            where=self.ctx.stage,
            report=report,
        )

    def draws(self) -> dict[str, Any]:
        """Return the state of the generators of cutout and augmentation."""
        generators = (self._cutout, self.augmentation.generator)
        return {"generators": [generator.get_state() for generator in generators]}

    def load_draws(self, state: Mapping[str, Any]) -> None:
        """Restore what `draws` returned."""
        for generator, values in zip(
            (self._cutout, self.augmentation.generator), state["generators"], strict=True
        ):
            generator.set_state(values)

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and logits of a batch, with augmentation, auxiliary head and teacher as configured.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
        """
        images = self.augmentation.change(images)
        if self.config.cutout:
            images = cutout(images, self.config.cutout, shard_generator(self._cutout))
        images, targets = self.augmentation.mix(images, labels)
        images = self.runtime.prepare_images(images)
        with self.runtime.autocast():
            output = self.network(images)
            loss = self._loss(output, images, targets)
        return loss, output.logits

    def _loss(self, output: Output, images: Tensor, targets: Tensor) -> Tensor:
        config = self.config
        output = Output(output.logits.float(), output.features)
        loss = self._cross_entropy(output.logits, targets)
        if self.distiller is not None and self.teacher is not None:
            with torch.no_grad():
                lesson = self.teacher(images)
            taught = self.distiller(output, Output(lesson.logits.float(), lesson.features), targets)
            loss = (1.0 - config.distill_weight) * loss + config.distill_weight * taught
        if self.auxiliary is not None:
            logits = self.auxiliary(output.features[self.feature]).float()
            loss = loss + config.auxiliary_weight * self._cross_entropy(logits, targets)
        return loss

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits, targets, self.class_weights, label_smoothing=self.config.label_smoothing
        )

    def amount(self, labels: Tensor) -> Tensor:
        """Return the weight of a batch among those that make one step: that of its images together."""
        return super().amount(labels) if self.class_weights is None else self.class_weights[labels].sum()


def _optimizer(config: TrainConfig, parameters: list[nn.Parameter], by_size: float) -> Optimizer:
    weight_decay = by_size if config.weight_decay == "by_size" else config.weight_decay
    if config.optimizer == "adamw":
        return AdamW(parameters, lr=config.lr, weight_decay=weight_decay)
    return SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=weight_decay,
        nesterov=config.nesterov,
    )
