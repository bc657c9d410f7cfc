"""The updates of a search by gradients: of architecture, search network and evaluation network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from nasforge.data import DataModule
from nasforge.nn import ArchParameters, Network, OptionWeights, Output, Sigmoid, Softmax
from nasforge.runtime import Runtime
from nasforge.searcher import Searcher
from nasforge.space import NetworkSpace
from nasforge.training.loss_scale import LossScale
from nasforge.training.optim import frozen
from nasforge.training.twin import Twin
from nasforge.training.update import Update
from nasforge_plugins.searchers.gradient.batches import Batch
from nasforge_plugins.searchers.gradient.bilevel import gradients_of
from nasforge_plugins.searchers.gradient.options import SupernetOptions
from nasforge_plugins.searchers.gradient.parts import LearningParts
from nasforge_plugins.searchers.gradient.penalties import L1Penalty, Regularizers, fading
from nasforge_plugins.searchers.gradient.progress import accuracy_of

__all__ = ["S", "SupernetSteps"]

S = TypeVar("S", bound=SupernetOptions)


class SupernetSteps(Searcher[S]):
    """Trains a search network, architecture parameters and an evaluation network, batch by batch.

    Attributes:
        space: The space that is searched.
        data: Images of the search.
        search_net: The supernet.
        alpha: The architecture parameters.
        constant_weights: Option weights of edges that are averaged.
        twin: The evaluation network, if there is one.
        update: Makes every step of an optimiser.
        loss_scale: Of all updates; None if the precision needs none.
        parts: Mutation, alignment and early stopping of the search network.
        epoch: Steps of the search that were made.
        repeat: Passes over the ``weights`` split that were made in the current step.
        held: Numbers of the penalties as tensors, if steps are captured.
        joint_epochs: Passes over the ``weights`` split in a step in which the architecture learns.
    """

    space: NetworkSpace[Any]
    data: DataModule[Any]
    runtime: Runtime
    search_net: Network
    alpha: ArchParameters
    constant_weights: dict[str, Tensor]
    penalty: L1Penalty
    regularizers: Regularizers
    search_optimizer: Optimizer
    arch_optimizer: Optimizer
    twin: Twin | None
    update: Update
    loss_scale: LossScale | None
    parts: LearningParts
    epoch: int
    repeat: int
    held: dict[str, Tensor] | None = None
    joint_epochs: int = 1

    @property
    @abstractmethod
    def search_steps(self) -> int:
        """The number of steps in which the search trains the supernet."""

    @abstractmethod
    def step_arch(self, images: Tensor, labels: Tensor, train: Batch | None = None) -> dict[str, Tensor]:
        """Train the architecture parameters, and the evaluation network and distiller if there are any.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.
            train: The next batch of the ``weights`` split.

        Returns:
            Scalars by metric name.
        """

    def step_jointly(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Train evaluation network, distiller and architecture together; a shared stem with them.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        assert self.twin is not None, "only searches with a twin train jointly"
        assert self.twin.optimizer is not None, "the evaluation network is built before its first update"
        options = self.config.twin
        self.search_net.train()
        unused, stopping = list(self.select_unused(self.twin.find_untrained())), self.parts.stopping
        with frozen(stopping.select_unmeasured(unused)):
            student = self.run(images)
            arch_loss = self.cross_entropy(student, labels)
            eval_loss, distill_loss, teacher = self.twin.loss(images, labels, student)
            penalty = self.compute_penalties()
            mutual = options.loss_alpha * options.distill_weight * distill_loss
            loss = (arch_loss + eval_loss) / options.loss_alpha + mutual + penalty
            if stopping.is_on:
                stopping.compare(gradients_of(arch_loss, stopping.measured(), keep=True))
        with self.parts.without_traces(unused):
            self.update.descend(loss, [self.twin.optimizer, self.arch_optimizer], self.twin.parameters())
        return {
            "arch_loss": arch_loss,
            "arch_accuracy": accuracy_of(student, labels),
            "eval_loss": eval_loss,
            "eval_accuracy": accuracy_of(teacher, labels),
            "distill_loss": distill_loss,
            "penalty": penalty,
        }

    def step_eval(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Train the evaluation network alone; a shared stem is part of it.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        assert self.twin is not None, "only searches with a twin have an evaluation network"
        assert self.twin.optimizer is not None, "the evaluation network is built before its first update"
        loss, _, output = self.twin.loss(images, labels)
        self.update.descend(loss, [self.twin.optimizer], self.twin.parameters())
        return {"eval_warmup_loss": loss, "eval_warmup_accuracy": accuracy_of(output, labels)}

    def step_search(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Train the search network's weights; a shared stem is part of them.

        Args:
            images: From the ``weights`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        parts = self.parts
        unused = list(self.select_unused(self.alpha.parameters()))
        with frozen(unused):
            weights = self.draw_training_weights(images, labels)
            weights = self.draw_weights() if weights is None else weights
        self.search_net.train()

        def run() -> tuple[Output, Tensor]:
            output = self.run(images, weights)
            return output, self.cross_entropy(output, labels)

        share = min(1.0, self.epoch / self.search_steps)
        with parts.mutated(weights, share, self.get_fixed_weights().keys()) as given:
            with frozen(unused):
                output, loss, aim, values = parts.run(run, weights, given, self.alpha.relaxation.progress)
            with parts.stopping.recorded(self.search_optimizer):
                self.update.descend(aim, [self.search_optimizer], self.search_net.parameters())
        return {"search_loss": loss, "search_accuracy": accuracy_of(output, labels), **values}

    def cross_entropy(self, output: Output, labels: Tensor) -> Tensor:
        """Return the loss of a batch with smoothed labels, a scalar in float32.

        Args:
            output: Output of a network for the batch.
            labels: ``(B,)``.
        """
        return cross_entropy(output.logits.float(), labels, label_smoothing=self.config.label_smoothing)

    def select_unused(self, parameters: Iterable[nn.Parameter]) -> Iterable[nn.Parameter]:
        """Return those of the parameters that an update does not train whose gradients it does not need."""
        return parameters

    def draw_training_weights(self, images: Tensor, labels: Tensor) -> OptionWeights | None:
        """Return the option weights under which the search network learns from a batch; None for its own."""
        return None

    def draw_weights(self) -> dict[str, Tensor | int]:
        """Return the option weights of the search network; relaxations that draw do so in every call."""
        return {**self.alpha.weights(), **self.get_fixed_weights()}

    def compute_mean_weights(self) -> dict[str, Tensor]:
        """Return the option weights without noise."""
        return {**self.alpha.mean(), **self.get_fixed_weights()}

    def get_fixed_weights(self) -> dict[str, Tensor]:
        """Return the option weights that are not learned: those of averaged edges."""
        return self.constant_weights

    def run(self, images: Tensor, weights: OptionWeights | None = None) -> Output:
        """Run the search network.

        Args:
            images: ``(B, C, S, S)``.
            weights: Option weights; None draws them.
        """
        with self.runtime.autocast():
            return self.search_net(images, self.draw_weights() if weights is None else weights)

    def compute_penalties(self) -> Tensor:
        """Return the terms of the architecture's loss that depend on its parameters alone, a scalar."""
        numbers = self.held or self.count_numbers()
        total = torch.zeros((), device=self.runtime.device)
        if self.config.penalty.coefficient:
            total = total + numbers["strength"] * self.penalty(dict(self.alpha.logits.items()))
        more = self.regularizers(self.alpha, numbers["epoch"])
        return total if more is None else total + more

    def count_numbers(self) -> dict[str, float]:
        """Return the numbers of `compute_penalties` that change during the search.

        Returns:
            The ``strength`` of the penalty, and the ``epoch`` since the architecture began to learn.
        """
        cfg = self.config
        numbers: dict[str, float] = {"epoch": self.epoch - cfg.warmup_epochs}
        if cfg.penalty.coefficient:
            numbers["strength"] = fading(
                self.count_faded_epochs(),
                coefficient=cfg.penalty.coefficient,
                ratio=cfg.penalty.ratio,
                epochs=(self.search_steps - cfg.warmup_epochs) * self.joint_epochs,
            )
        return numbers

    def refresh_numbers(self) -> None:
        """Fill the tensors of `count_numbers`, which captured steps read."""
        numbers = self.count_numbers()
        if self.held is None:
            self.held = {name: torch.empty((), device=self.runtime.device) for name in numbers}
        for name, value in numbers.items():
            self.held[name].fill_(value)

    def explain_eager(self) -> str:
        """Return why steps cannot be captured as CUDA graphs; empty if they can.

        Subclasses add what changes from step to step: operators, or numbers that are no tensors.
        """
        runtime, relaxation = self.runtime, self.alpha.relaxation
        if runtime.shards.count > 1:
            return "batches have shards"
        if self.loss_scale is not None:
            return "in fp16 every step decides whether it is made"
        if runtime.gradient_checkpointing:
            return "blocks are computed twice"
        if self.parts.are_on:
            return "parts of the search network draw, or compare gradients"
        if type(relaxation) not in (Softmax, Sigmoid):
            return f"{type(relaxation).__name__} draws option weights"
        return ""

    def count_faded_epochs(self) -> int:
        """Return the number of earlier epochs with the penalty, from which it fades."""
        return (self.epoch - self.config.warmup_epochs) * self.joint_epochs + self.repeat

    def make_parts(self) -> LearningParts:
        """Return the parts that change how the search network learns."""
        task = self.data.task
        return LearningParts(self.config, self.space, task, self.runtime, self.search_net, self.alpha)

    def collect_parts(self) -> nn.ModuleDict:
        """Return everything with parameters: architecture, both networks, distiller."""
        parts: dict[str, nn.Module | None] = {"alpha": self.alpha, "search": self.search_net}
        if self.twin is not None:
            parts |= {"evaluation": self.twin.network, "distiller": self.twin.distiller}
        return nn.ModuleDict({name: module for name, module in parts.items() if module is not None})
