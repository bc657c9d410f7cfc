"""Search by gradients: weights and architecture learn in turns, from two halves of the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.data import Split
from nasforge.errors import RunError
from nasforge.nn import OptionWeights, Output
from nasforge.searcher import Searcher
from nasforge.space import NetworkSpace, PartialChannels
from nasforge.training.loops import cosine_lr, load_optimizer, set_lr
from nasforge.training.optim import frozen
from nasforge_plugins.searchers.gradient.bilevel import gradients_of, unrolled_gradients
from nasforge_plugins.searchers.gradient.collapse import CollapseGuard
from nasforge_plugins.searchers.gradient.config import GradientConfig
from nasforge_plugins.searchers.gradient.expected import make_cost_penalty
from nasforge_plugins.searchers.gradient.landscape import Landscape
from nasforge_plugins.searchers.gradient.mutual import TwinTrainer
from nasforge_plugins.searchers.gradient.penalties import Regularizers, fading, make_l1
from nasforge_plugins.searchers.gradient.perturbation import adversarial, uniform
from nasforge_plugins.searchers.gradient.progress import StepProgress, accuracy_of
from nasforge_plugins.searchers.gradient.reading import Batch, Batches
from nasforge_plugins.searchers.gradient.relaxing import relax
from nasforge_plugins.searchers.gradient.stepping import arch_adam, weights_sgd

__all__ = ["GradientSearcher"]

G = TypeVar("G", bound=GradientConfig)


def with_partial_channels(space: NetworkSpace[Any], share: int) -> NetworkSpace[Any]:
    """Return a space whose search networks apply options to one channel in ``share``.

    Raises:
        RunError: The space lacks the capability `PartialChannels`.
    """
    if share == 1:
        return space
    if not isinstance(space, PartialChannels):
        raise RunError(
            f"searcher.partial_channels: the search networks of {type(space).__name__} have no partial "
            "channels. Set partial_channels = 1, or give the space the capability PartialChannels."
        )
    return space.with_partial_channels(share)


class GradientSearcher(Searcher[G]):
    """Differentiable architecture search (Liu et al., ICLR 2019, Algorithm 1), in all its varieties.

    One step is one epoch: for every batch of the ``weights`` split, the architecture parameters first learn
    from a batch of the ``arch`` split, then the search network learns. It names no operation, edge or cell,
    so it searches any space with a supernet. Only gradients that are used are computed.
    """

    def setup(self, ctx: Context) -> None:
        """Build the search network, the architecture parameters, their optimisers, and the twin if any."""
        super().setup(ctx)
        cfg, space = self.config, ctx.space
        assert isinstance(space, NetworkSpace), "the recipe check requires a space with a supernet"
        assert ctx.data is not None, "the recipe check requires a [data] table"
        self.space = with_partial_channels(space, cfg.partial_channels)
        self.data, self.runtime = ctx.data, ctx.runtime
        self.batches = Batches(ctx.data, ctx.runtime, cfg.sample_ratio)
        self.alpha, self.constant_weights = relax(
            self.space, cfg, cfg.edge_weights, cfg.arch_init_std, self.runtime
        )
        self.penalty = make_l1(self.space, cfg.l1_options, cfg.l1_reduction)
        self.regularizers = Regularizers(cfg, make_cost_penalty(cfg, ctx))
        self.search_net = self.runtime.prepare(self.space.build(self.data.task, scale="search"))
        self.search_optimizer = weights_sgd(self.search_net.parameters(), cfg.lr, cfg)
        self.arch_optimizer = arch_adam(self.alpha.parameters(), cfg)
        self.twin = None
        if ctx.distiller is not None:
            sgd = partial(weights_sgd, lr=cfg.eval_lr, options=cfg)
            self.twin = TwinTrainer.beside(self.search_net, self.space, ctx, ctx.distiller, sgd, cfg)
        landscape = Landscape(ctx, self.search_net, self.alpha, self.mean_weights)
        self.guard = CollapseGuard(cfg, self.space, self.alpha, landscape)
        self.epoch = 0
        self.arch = self.derive()

    @property
    def done(self) -> bool:
        """Whether every epoch has been made, or the guard has ended the search."""
        return not self.searching

    @property
    def searching(self) -> bool:
        """Whether there are epochs left to make."""
        return self.epoch < self.config.epochs and not self.guard.stopped

    @property
    def total_steps(self) -> int:
        """The number of epochs."""
        return self.config.epochs

    def best(self) -> Arch:
        """Return the architecture derived last: nothing is selected by accuracy."""
        return self.arch

    def summary(self) -> Mapping[str, Any]:
        """Return what the guard has to say."""
        return self.guard.summary()

    def derive(self) -> Arch:
        """Return the architecture that the parameters stand for now."""
        return self.space.discretize(self.alpha.as_lists())

    def step(self) -> Mapping[str, float]:
        """Make one epoch.

        Returns:
            Means over the epoch: ``search_loss`` and ``search_accuracy`` on the ``weights`` split; once the
            architecture learns ``arch_loss``, ``arch_accuracy`` and ``penalty`` on the ``arch`` split, with a
            distiller also ``eval_loss``, ``eval_accuracy``, ``distill_loss`` and ``eval_warmup_loss``; and of
            the architecture parameters at its end ``arch_entropy`` and ``arch_confidence``, with a penalty
            on the expected cost also that, as ``expected_macs`` or the like; and what the guard measures, see
            `CollapseGuard.observe`.
        """
        cfg = self.config
        lr = cosine_lr(self.epoch, cfg.epochs, cfg.lr, cfg.min_lr)
        metrics = self._train(f"search, epoch {self.epoch + 1}", lr)
        self.arch = self.derive()
        if self.epoch > cfg.warmup_epochs:
            metrics = {**metrics, **self.guard.observe(self.epoch, self.arch)}
            self.arch = self.derive()  # a guard may have set the parameters back
        return metrics

    def _train(self, where: str, lr: float) -> Mapping[str, float]:
        """Train for one epoch at a learning rate; the architecture learns too if it is time."""
        cfg = self.config
        learning = self.epoch >= cfg.warmup_epochs
        self.alpha.relaxation.progress = min(1.0, self.epoch / max(1, cfg.epochs - 1))
        set_lr(self.search_optimizer, lr)
        fresh = learning and self.twin is not None and self.twin.due(self.epoch - cfg.warmup_epochs)
        alone = cfg.eval_warmup_epochs * self.batches.count("arch") if fresh else 0
        progress = StepProgress(self.ctx.report, where, alone + self.batches.count("weights"))
        if fresh:
            self._renew_twin(progress)
        pairs: Iterable[tuple[Batch, Batch | None]] = (
            zip(self._read("weights"), self._read("arch"), strict=False)
            if learning
            else ((batch, None) for batch in self._read("weights"))
        )
        for batch, arch_batch in pairs:
            values = {} if arch_batch is None else self.step_arch(*arch_batch, batch)
            progress.add("training", len(batch[1]), {**values, **self.step_search(*batch)})
        if learning and self.twin is not None:
            self.twin.twin.remember()
        self.epoch += 1
        shape = {"arch_entropy": self.alpha.entropy(), "arch_confidence": self.alpha.confidence()}
        return {**progress.means(), **shape, **self.regularizers.metrics(self.alpha)}

    def step_arch(self, images: Tensor, labels: Tensor, train: Batch | None = None) -> dict[str, Tensor]:
        """Train the architecture parameters, and the evaluation network and distiller if there are any.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.
            train: The next batch of the ``weights`` split: second order looks one step ahead.

        Returns:
            Scalars by metric name.
        """
        self.search_net.train()
        arch = list(self.alpha.parameters())
        values: dict[str, Tensor] = {}

        def valid_loss() -> Tensor:
            output = self.run(images)
            loss = cross_entropy(output.logits.float(), labels)
            penalty = self._penalties()
            values.update(arch_loss=loss, arch_accuracy=accuracy_of(output, labels), penalty=penalty)
            return loss + penalty

        if self.twin is not None:
            return self.twin.step_arch(self.run, self._penalties, self.arch_optimizer, images, labels)
        if self.config.order == 2:
            assert train is not None, "second order needs a batch of the weights split"
            gradients, _ = unrolled_gradients(
                arch, self.search_net, lambda: self._task_loss(*train), valid_loss, self.search_optimizer
            )
        else:
            with frozen(self.search_net.parameters()):
                gradients = gradients_of(valid_loss(), arch)
        for parameter, gradient in zip(arch, gradients, strict=True):
            parameter.grad = gradient
        self.arch_optimizer.step()
        self.arch_optimizer.zero_grad()
        return values

    def step_search(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Train the search network's weights, under disturbed option weights if so configured.

        Args:
            images: From the ``weights`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        with frozen(self.alpha.parameters()):
            weights = self._disturbed(images, labels)
            self.search_net.train()
            output = self.run(images, weights)
            loss = cross_entropy(output.logits.float(), labels)
        self.search_optimizer.zero_grad()
        loss.backward()
        if self.config.clip > 0:
            clip_grad_norm_(self.search_net.parameters(), self.config.clip)
        self.search_optimizer.step()
        self.search_optimizer.zero_grad()
        return {"search_loss": loss, "search_accuracy": accuracy_of(output, labels)}

    def option_weights(self) -> dict[str, Tensor | int]:
        """Return what the search network runs with; relaxations that draw do so in every call."""
        return {**self.alpha.weights(), **self.fixed_weights()}

    def mean_weights(self) -> dict[str, Tensor]:
        """Return what the search network stands for, without noise."""
        return {**self.alpha.mean(), **self.fixed_weights()}

    def fixed_weights(self) -> dict[str, Tensor]:
        """Return the option weights that are not learned: those of averaged edges."""
        return self.constant_weights

    def run(self, images: Tensor, weights: OptionWeights | None = None) -> Output:
        """Run the search network.

        Args:
            images: ``(B, C, S, S)``.
            weights: Option weights; None takes `option_weights`.
        """
        with self.runtime.autocast():
            return self.search_net(images, self.option_weights() if weights is None else weights)

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next epoch depends on."""
        return {
            "epoch": self.epoch,
            "arch": self.arch.to_json(),
            "alpha": self.alpha.state_dict(),
            "search_net": self.search_net.state_dict(),
            "search_optimizer": self.search_optimizer.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
            "guard": self.guard.state_dict(),
            **({} if self.twin is None else {"twin": self.twin.twin.state_dict()}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`.

        Args:
            state: What `state_dict` returned in an earlier process.
        """
        if self.twin is not None:
            self.twin.twin.load_state_dict(state["twin"])
        self.alpha.load_state_dict(state["alpha"])
        self.search_net.load_state_dict(state["search_net"])
        load_optimizer(self.search_optimizer, state["search_optimizer"])
        load_optimizer(self.arch_optimizer, state["arch_optimizer"])
        self.guard.load_state_dict(state["guard"])
        self.epoch, self.arch = state["epoch"], Arch(state["arch"])

    def _task_loss(self, images: Tensor, labels: Tensor, weights: OptionWeights | None = None) -> Tensor:
        return cross_entropy(self.run(images, weights).logits.float(), labels)

    def _penalties(self) -> Tensor:
        cfg = self.config
        epoch = self.epoch - cfg.warmup_epochs
        total = torch.zeros((), device=self.runtime.device)
        if cfg.l1_coefficient:
            epochs = cfg.epochs - cfg.warmup_epochs
            strength = fading(epoch, coefficient=cfg.l1_coefficient, ratio=cfg.l1_ratio, epochs=epochs)
            total = total + strength * self.penalty(dict(self.alpha.logits.items()))
        more = self.regularizers(self.alpha, epoch)
        return total if more is None else total + more

    def _disturbed(self, images: Tensor, labels: Tensor) -> OptionWeights:
        cfg, weights = self.config, self.option_weights()
        if cfg.perturbation == "none":
            return weights
        open_choices = self.alpha.operation_logits().keys() - self.fixed_weights().keys()
        learned = {name: cast("Tensor", weights[name]) for name in sorted(open_choices)}
        first, last = cfg.epsilon
        radius = first + (last - first) * min(1.0, self.epoch / cfg.epochs)
        simplex = self.alpha.relaxation.simplex
        if cfg.perturbation == "random":
            return {**weights, **uniform(learned, radius, simplex=simplex)}
        # The attack must leave no trace in running statistics, hence `eval`.
        self.search_net.eval()
        with frozen(self.search_net.parameters()):
            attacked = adversarial(
                learned,
                radius,
                lambda tried: self._task_loss(images, labels, {**weights, **tried}),
                steps=cfg.attack_steps,
                simplex=simplex,
            )
        return {**weights, **attacked}

    def _renew_twin(self, progress: StepProgress) -> None:
        assert self.twin is not None
        self.twin.twin.rebuild(self.arch)
        for epoch in range(self.config.eval_warmup_epochs):
            for images, labels in self._read("arch", alone=epoch):
                progress.add("evaluation warm-up", len(labels), self.twin.step_eval(images, labels))

    def _read(self, split: Split, alone: int | None = None) -> Iterable[Batch]:
        """Return prepared batches; every pass over a split has a number, and so an order, of its own."""
        warmups = self.config.eval_warmup_epochs if split == "arch" and self.twin is not None else 0
        passes = self.epoch * (warmups + 1) + (warmups if alone is None else alone)
        return self.batches.read(split, passes)
