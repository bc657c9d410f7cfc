"""Cyclic differentiable architecture search (Yu et al., 2020, arXiv 2006.10724)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nasforge.arch import Arch
from nasforge.component import Context, Work
from nasforge.space import SeparateStages
from nasforge.training.stopping import within_step
from nasforge.training.twin import Twin
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.pretraining import BankPretraining
from nasforge_plugins.searchers.cdarts.transfer import find_untransferred, norms_inside
from nasforge_plugins.searchers.cdarts.update import QuirkyUpdate
from nasforge_plugins.searchers.gradient.batches import Batch, Batches
from nasforge_plugins.searchers.gradient.optimizers import arch_adam, weights_sgd
from nasforge_plugins.searchers.gradient.supernet import SupernetSearcher

__all__ = ["Cdarts"]


class Cdarts(SupernetSearcher[CdartsConfig]):
    """A shallow search network and a deep evaluation network learn from each other, in cycles.

    One step is one cycle: build the evaluation network of the latest architecture, with the weights its
    operations had before; train it alone; then train architecture and evaluation network on the ``arch``
    split and the search network on the ``weights`` split, in turns; derive the next architecture.
    """

    update: QuirkyUpdate

    def setup(self, ctx: Context) -> None:
        """Build both networks' supernets, the architecture parameters and the optimisers."""
        self.joint_epochs = self.config.joint_epochs
        super().setup(ctx)
        assert self.twin is not None, "cdarts needs a distiller"
        self.staged = self.space if isinstance(self.space, SeparateStages) else None
        if self.staged is not None and self.config.quirks.first_stage:
            self._start_alike(self.staged)
        self.pretraining = BankPretraining(ctx, self.config, self.space, self.twin, self.search_net)

    def make_twin(self, ctx: Context, **more: Any) -> Twin | None:
        """Return an evaluation network whose optimiser and copied weights follow the options."""
        renew = self.config.renew_optimizers
        return super().make_twin(ctx, renew_optimizer=renew, skip=self.select_fresh, **more)

    def select_fresh(self, network: nn.Module, arch: Arch) -> list[str]:
        """Return what neither comes from the bank nor goes there.

        Args:
            network: The evaluation network.
            arch: Its architecture.

        Returns:
            Beginnings of names.
        """
        quirks = self.config.quirks
        lost = find_untransferred(network, arch) if quirks.copy_bug else []
        return [*lost, *(norms_inside(network) if quirks.fresh_norms else ())]

    def choose_twin_arch(self) -> Arch:
        """Return the architecture derived last; with the quirk `first_stage`, its first stage throughout."""
        if self.staged is None or not self.config.quirks.first_stage:
            return self.arch
        return Arch({name: self.arch[self.staged.first_stage_name(name)] for name in self.arch})

    def make_twin_optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Make the optimiser of an evaluation network, whose pretrained cells learn more slowly."""
        optimizer = super().make_twin_optimizer(parameters)
        options = self.config.pretrain
        if not options.epochs or options.operations_lr == 1.0:
            return optimizer
        assert self.twin is not None
        assert self.twin.network is not None
        whole = ("classifier.", *(f"{name}." for name in self.twin.tied))
        named = self.twin.network.named_parameters()
        slow = {id(p) for n, p in named if not n.startswith(whole)}
        (group,) = optimizer.param_groups
        cells = [p for p in parameters if id(p) in slow]
        group["params"] = [p for p in parameters if id(p) not in slow]
        optimizer.add_param_group({"params": cells, "lr": self.config.twin.lr * options.operations_lr})
        return optimizer

    def make_update(self) -> QuirkyUpdate:
        """Return the update with the quirks of the options."""
        return QuirkyUpdate(self.config.clip, self.config.quirks, self._everything, self.loss_scale)

    def make_optimizers(self) -> None:
        """Make the optimisers of the search network and of the architecture."""
        cfg = self.config
        shared = self.twin.distiller if self.twin is not None and cfg.quirks.distiller_in_both else None
        searched = [*self.search_net.parameters(), *(() if shared is None else shared.parameters())]
        steady = self.runtime.graphs.active
        self.runtime.graphs.forget()
        self.search_optimizer = weights_sgd(searched, cfg.lr, cfg, steady=steady)
        self.arch_optimizer = arch_adam(self.alpha.parameters(), cfg, steady=steady)

    @property
    def search_steps(self) -> int:
        """The number of cycles."""
        return self.config.iterations

    @property
    def total_steps(self) -> int:
        """The number of epochs of the bank's pretraining, and of cycles."""
        return self.config.pretrain.epochs + self.search_steps

    def step(self) -> Mapping[str, float]:
        """Make one cycle; return the metrics of `train`, and what `CollapseGuard.observe` measures.

        Before the first cycle, make the epochs of the bank's pretraining, and return its metrics.
        """
        if not self.pretraining.done:
            with within_step():
                return self.pretraining.step()
        if self.config.renew_optimizers and self.learning and self.epoch > 0 and not self.resumes_step:
            self.make_optimizers()
        metrics = self.train(f"search, cycle {self.epoch + 1}")
        return {**metrics, **self.observe()}

    def workload(self) -> Sequence[Work]:
        """Return the batches of the bank's pretraining, and of all phases of the cycles."""
        return [*self.pretraining.workload(), *super().workload()]

    def step_arch(self, images: Tensor, labels: Tensor, train: Batch | None = None) -> dict[str, Tensor]:
        """Train architecture parameters, evaluation network and distiller (step A); the stem with them.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.
            train: Not used.

        Returns:
            Scalars by metric name.
        """
        values = self.step_jointly(images, labels)
        del values["arch_accuracy"]
        return values

    def select_unused(self, parameters: Iterable[nn.Parameter]) -> Iterable[nn.Parameter]:
        """Return ``parameters``, or none where a norm over everything needs all gradients."""
        return () if self.update.needs_all_gradients else parameters

    def explain_eager(self) -> str:
        """Return why steps cannot be captured: with some quirks, gradients outlive them."""
        return "gradients outlive a step" if self.update.leaves_gradients else super().explain_eager()

    def make_batches(self, ctx: Context) -> Batches:
        """Return the reader of images, which may read one batch more than is asked for."""
        assert ctx.data is not None, "the recipe check requires a [data] table"
        return Batches(ctx.data, self.runtime, self.config.sample_ratio, self.config.quirks.extra_batch)

    def count_faded_epochs(self) -> int:
        """Return the number of earlier joint epochs, and of those that the published code counts too many."""
        cfg = self.config
        early = cfg.warmup_epochs * (cfg.joint_epochs - 1) if cfg.quirks.early_fade else 0
        return super().count_faded_epochs() + early

    def count_arch_epochs(self) -> int:
        """Return the number of earlier cycles after the warm-up."""
        return self.epoch - self.config.warmup_epochs

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next step depends on."""
        return {**super().state_dict(), "pretraining": self.pretraining.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`.

        Args:
            state: The result of `state_dict` in an earlier process.
        """
        self.pretraining.load_state_dict(state["pretraining"])
        super().load_state_dict(state)

    def _start_alike(self, space: SeparateStages) -> None:
        with torch.no_grad():
            for name, logits in self.alpha.logits.items():
                logits.copy_(self.alpha.logits[space.first_stage_name(name)])
        self.arch = self.derive()

    def _everything(self) -> Iterator[nn.Parameter]:
        return self.collect_parts().parameters()
