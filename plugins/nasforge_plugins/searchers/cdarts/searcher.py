"""Cyclic differentiable architecture search (Yu et al., 2020, arXiv 2006.10724)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.nn import Output
from nasforge.searcher import Searcher
from nasforge.space import NetworkSpace
from nasforge.training.loops import load_optimizer
from nasforge.training.optim import frozen, gradients, load_gradients
from nasforge.training.twin import Twin
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.copying import left_behind
from nasforge_plugins.searchers.cdarts.penalty import l1_strength
from nasforge_plugins.searchers.cdarts.update import UpdateRule
from nasforge_plugins.searchers.gradient.collapse import CollapseGuard
from nasforge_plugins.searchers.gradient.expected import make_cost_penalty
from nasforge_plugins.searchers.gradient.landscape import Landscape
from nasforge_plugins.searchers.gradient.penalties import Regularizers, make_l1
from nasforge_plugins.searchers.gradient.progress import StepProgress, accuracy_of
from nasforge_plugins.searchers.gradient.reading import Batches
from nasforge_plugins.searchers.gradient.relaxing import relax
from nasforge_plugins.searchers.gradient.stepping import arch_adam, weights_sgd

__all__ = ["Cdarts"]


class Cdarts(Searcher[CdartsConfig]):
    """A shallow search network and a deep evaluation network learn from each other, in cycles.

    One step is one cycle: build the evaluation network of the latest architecture, with the weights its
    operations had before; train it alone; then train architecture and evaluation network on the ``arch``
    split and the search network on the ``weights`` split, in turns; derive the next architecture. It names
    no operation, edge or cell, so it searches any space with a supernet.
    """

    def setup(self, ctx: Context) -> None:
        """Build both networks' supernets, the architecture parameters and the optimisers."""
        super().setup(ctx)
        cfg, space = self.config, ctx.space
        assert isinstance(space, NetworkSpace), "the recipe check requires a space with a supernet"
        assert ctx.data is not None, "the recipe check requires a [data] table"
        self.space, self.data, self.runtime = space, ctx.data, ctx.runtime
        self.batches = Batches(ctx.data, ctx.runtime, cfg.sample_ratio)
        self.alpha, self.constant_weights = relax(
            space, cfg, cfg.edge_weights, cfg.arch_init_std, self.runtime
        )
        self.penalty = make_l1(space, cfg.l1_options, cfg.l1_reduction, cfg.l1_multiplier)
        self.regularizers = Regularizers(cfg, make_cost_penalty(cfg, ctx))
        self.search_net = self.runtime.prepare(space.build(self.data.task, scale="search"))
        self.twin = Twin(
            space,
            self.data.task,
            self.runtime,
            self.search_net,
            partial(weights_sgd, lr=cfg.eval_lr, options=cfg),
            ctx.distiller,
            inherit=cfg.inherit,
            renew_optimizer=cfg.renew_optimizers,
            share=cfg.share_stem,
            skip=left_behind if cfg.copy_bug else lambda network, arch: (),
        )
        self.rule = UpdateRule(cfg.clip, cfg.clip_scope, cfg.stale_gradients, cfg.zero_gradients)
        landscape = Landscape(ctx, self.search_net, self.alpha, self._mean_weights)
        self.guard = CollapseGuard(cfg, space, self.alpha, landscape)
        self.cycle = 0
        self.arch = space.discretize(self.alpha.as_lists())
        self._renew_optimizers()

    @property
    def done(self) -> bool:
        """Whether every cycle has been made, or the guard has ended the search."""
        return self.cycle >= self.config.iterations or self.guard.stopped

    @property
    def total_steps(self) -> int:
        """The number of cycles."""
        return self.config.iterations

    def best(self) -> Arch:
        """Return the architecture derived last: nothing is selected by accuracy."""
        return self.arch

    def summary(self) -> Mapping[str, Any]:
        """Return what the guard has to say."""
        return self.guard.summary()

    def step(self) -> Mapping[str, float]:
        """Make one cycle.

        Returns:
            Means over the cycle: ``search_loss`` and ``search_accuracy`` on the ``weights`` split,
            ``arch_loss`` (search network), ``eval_loss``, ``eval_accuracy``, ``distill_loss`` and ``penalty``
            on the ``arch`` split, ``eval_warmup_loss``; and of the architecture parameters at its end
            ``arch_entropy`` (1 is uniform) and ``arch_confidence`` (mean weight of the heaviest option); and
            what the guard measures, see `CollapseGuard.observe`.
        """
        cfg = self.config
        warm = self.cycle < cfg.warmup_epochs
        pairs = min(self.batches.count("weights"), self.batches.count("arch"))
        batches = (
            self.batches.count("weights")
            if warm
            else cfg.eval_warmup_epochs * self.batches.count("arch") + cfg.joint_epochs * pairs
        )
        progress = StepProgress(self.ctx.report, f"search, cycle {self.cycle + 1}", batches)
        self.alpha.relaxation.progress = self.cycle / max(1, cfg.iterations - 1)
        if warm:
            self._warm_search(progress)
        else:
            if cfg.renew_optimizers and self.cycle > 0:
                self._renew_optimizers()
            self.twin.rebuild(self.arch)
            for epoch in range(cfg.eval_warmup_epochs):
                self._warm_eval(progress, epoch)
            for epoch in range(cfg.joint_epochs):
                self._train_jointly(progress, epoch)
            self.arch = self.space.discretize(self.alpha.as_lists())
            self.twin.remember()
        self.cycle += 1
        shape = {"arch_entropy": self.alpha.entropy(), "arch_confidence": self.alpha.confidence()}
        shape |= self.regularizers.metrics(self.alpha)
        watched = {} if warm else self.guard.observe(self.cycle, self.arch)
        if self.guard.stopped:
            self.arch = self.space.discretize(self.alpha.as_lists())
        return {**progress.means(), **shape, **watched}

    def step_arch(self, images: Tensor, labels: Tensor, strength: float) -> dict[str, Tensor]:
        """Step A: train architecture parameters, evaluation network and distiller; the stem with them.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.
            strength: Of the penalty.

        Returns:
            Scalars by metric name.
        """
        cfg = self.config
        self.search_net.train()
        with frozen(() if self.rule.needs_all_gradients else self.twin.resting()):
            student = self._search(images)
            arch_loss = cross_entropy(student.logits.float(), labels)
            eval_loss, distill_loss, teacher = self.twin.loss(images, labels, student)
            penalty = strength * self.penalty(dict(self.alpha.logits.items()))
            more = self.regularizers(self.alpha, self.cycle - cfg.warmup_epochs)
            penalty = penalty if more is None else penalty + more
            mutual = cfg.loss_alpha * cfg.distill_weight * distill_loss
            loss = (arch_loss + eval_loss) / cfg.loss_alpha + mutual + penalty
        assert self.twin.optimizer is not None, "the evaluation network is built before its first update"
        optimizers = (self.twin.optimizer, self.arch_optimizer)
        self.rule.apply(loss, optimizers, self.twin.parameters(), self._everything().parameters())
        return {
            "arch_loss": arch_loss,
            "eval_loss": eval_loss,
            "distill_loss": distill_loss,
            "penalty": penalty,
            "eval_accuracy": accuracy_of(teacher, labels),
        }

    def step_search(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Step B and search warm-up: train the search network's weights; the stem is one of them.

        Args:
            images: From the ``weights`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        self.search_net.train()
        with frozen(() if self.rule.needs_all_gradients else self.alpha.parameters()):
            output = self._search(images)
            loss = cross_entropy(output.logits.float(), labels)
        optimizers = (self.search_optimizer,)
        self.rule.apply(loss, optimizers, self.search_net.parameters(), self._everything().parameters())
        return {"search_loss": loss, "search_accuracy": accuracy_of(output, labels)}

    def step_eval(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Evaluation warm-up: train the evaluation network's weights; the stem is one of them.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        loss, _, output = self.twin.loss(images, labels)
        assert self.twin.optimizer is not None, "the evaluation network is built before its first update"
        optimizers = (self.twin.optimizer,)
        self.rule.apply(loss, optimizers, self.twin.parameters(), self._everything().parameters())
        return {"eval_warmup_loss": loss, "eval_warmup_accuracy": accuracy_of(output, labels)}

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next cycle depends on."""
        state = {
            "cycle": self.cycle,
            "arch": self.arch.to_json(),
            "alpha": self.alpha.state_dict(),
            "search_net": self.search_net.state_dict(),
            "search_optimizer": self.search_optimizer.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
            "twin": self.twin.state_dict(),
            "guard": self.guard.state_dict(),
        }
        if self.rule.leaves_gradients:
            state["gradients"] = gradients(self._everything())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`.

        Args:
            state: What `state_dict` returned in an earlier process.
        """
        self.twin.load_state_dict(state["twin"])
        self.alpha.load_state_dict(state["alpha"])
        self.search_net.load_state_dict(state["search_net"])
        load_optimizer(self.search_optimizer, state["search_optimizer"])
        load_optimizer(self.arch_optimizer, state["arch_optimizer"])
        load_gradients(self._everything(), state.get("gradients", {}))
        self.guard.load_state_dict(state["guard"])
        self.cycle, self.arch = state["cycle"], Arch(state["arch"])

    def _warm_search(self, progress: StepProgress) -> None:
        for images, labels in self.batches.read("weights", self.cycle):
            progress.add("search warm-up", len(labels), self.step_search(images, labels))

    def _warm_eval(self, progress: StepProgress, epoch: int) -> None:
        cfg = self.config
        cycle = self.cycle - cfg.warmup_epochs
        passes = cycle * (cfg.eval_warmup_epochs + cfg.joint_epochs) + epoch
        for images, labels in self.batches.read("arch", passes):
            progress.add("evaluation warm-up", len(labels), self.step_eval(images, labels))

    def _train_jointly(self, progress: StepProgress, epoch: int) -> None:
        cfg = self.config
        cycle = self.cycle - cfg.warmup_epochs
        search_epoch = cfg.warmup_epochs + cycle * cfg.joint_epochs + epoch
        arch_passes = cycle * (cfg.eval_warmup_epochs + cfg.joint_epochs) + cfg.eval_warmup_epochs + epoch
        strength = l1_strength(
            search_epoch,
            coefficient=cfg.l1_coefficient,
            ratio=cfg.l1_ratio,
            start=cfg.warmup_epochs,
            epochs=(cfg.iterations - cfg.warmup_epochs) * cfg.joint_epochs,
        )
        read = self.batches.read
        pairs = zip(read("weights", search_epoch), read("arch", arch_passes), strict=False)
        for (images, labels), (arch_images, arch_labels) in pairs:
            values = self.step_arch(arch_images, arch_labels, strength)
            progress.add("joint training", len(labels), {**values, **self.step_search(images, labels)})

    def _mean_weights(self) -> dict[str, Tensor]:
        return {**self.alpha.mean(), **self.constant_weights}

    def _search(self, images: Tensor) -> Output:
        with self.runtime.autocast():
            return self.search_net(images, {**self.constant_weights, **self.alpha.weights()})

    def _everything(self) -> nn.ModuleDict:
        parts = {
            "alpha": self.alpha,
            "search": self.search_net,
            "evaluation": self.twin.network,
            "distiller": self.twin.distiller,
        }
        return nn.ModuleDict({name: module for name, module in parts.items() if module is not None})

    def _renew_optimizers(self) -> None:
        cfg = self.config
        shared = self.twin.distiller if cfg.distiller_in_both else None
        searched = [*self.search_net.parameters(), *(() if shared is None else shared.parameters())]
        self.search_optimizer = weights_sgd(searched, cfg.lr, cfg)
        self.arch_optimizer = arch_adam(self.alpha.parameters(), cfg)
