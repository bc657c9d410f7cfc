"""The common part of all searches by gradients: setup, training loop, guard and state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from nasforge.arch import Arch
from nasforge.component import Context, Work
from nasforge.space import NetworkSpace
from nasforge.training.loops import load_optimizer
from nasforge.training.loss_scale import loss_scale_for
from nasforge.training.optim import gradients, load_gradients
from nasforge.training.shards import step_in_shards
from nasforge.training.stopping import until_stopped, within_step
from nasforge.training.twin import Twin
from nasforge.training.update import Update
from nasforge_plugins.searchers.gradient.batches import Batch, Batches
from nasforge_plugins.searchers.gradient.collapse import CollapseGuard
from nasforge_plugins.searchers.gradient.cost import make_cost_penalty
from nasforge_plugins.searchers.gradient.landscape import Landscape
from nasforge_plugins.searchers.gradient.optimizers import arch_adam, weights_sgd
from nasforge_plugins.searchers.gradient.penalties import Regularizers, make_l1
from nasforge_plugins.searchers.gradient.progress import StepProgress
from nasforge_plugins.searchers.gradient.relaxation import relax
from nasforge_plugins.searchers.gradient.steps import S, SupernetSteps
from nasforge_plugins.searchers.gradient.workload import supernet_work

__all__ = ["SupernetSearcher"]


class SupernetSearcher(SupernetSteps[S]):
    """A search network and an architecture that learn in turns by gradients, alone or with a twin.

    One step trains on the ``weights`` split, for every batch of which the architecture first learns from a
    batch of the ``arch`` split. It names no operation, edge or cell, so it searches any space with a
    supernet. Subclasses add the number of steps, the optimisers, and how the architecture learns alone.
    """

    def setup(self, ctx: Context) -> None:
        """Build the search network, the architecture parameters, the twin if any, and the optimisers."""
        super().setup(ctx)
        cfg, space = self.config, ctx.space
        assert isinstance(space, NetworkSpace), "the recipe check requires a space with a supernet"
        assert ctx.data is not None, "the recipe check requires a [data] table"
        self.space: NetworkSpace[Any] = self.prepare_space(space)
        self.data, self.runtime = ctx.data, ctx.runtime
        self.batches = self.make_batches(ctx)
        self.alpha, self.constant_weights = relax(self.space, cfg, self.runtime)
        self.penalty = make_l1(self.space, cfg.penalty)
        self.regularizers = Regularizers(cfg.regularizers, make_cost_penalty(cfg.cost, ctx))
        self.search_net = self.runtime.prepare(self.space.build(self.data.task, scale="search"))
        self.twin = self.make_twin(ctx)
        self.loss_scale = loss_scale_for(self.runtime)
        self.update: Update = self.make_update()
        self.parts = self.make_parts()
        self.make_optimizers()
        landscape = Landscape(ctx, self.search_net, self.alpha, self.compute_mean_weights)
        self.guard = CollapseGuard(cfg.guard, self.space, self.alpha, landscape)
        self.epoch = self.repeat = 0
        self._progress: StepProgress | None = None
        self._position: Mapping[str, Any] | None = None
        self.arch = self.derive()

    def prepare_space(self, space: NetworkSpace[Any]) -> NetworkSpace[Any]:
        """Return the space that is searched."""
        return space

    def make_batches(self, ctx: Context) -> Batches:
        """Return the reader of images."""
        assert ctx.data is not None, "the recipe check requires a [data] table"
        return Batches(ctx.data, ctx.runtime, self.config.sample_ratio)

    def make_twin(self, ctx: Context, **more: Any) -> Twin | None:
        """Return an evaluation network beside the search network, or None to search without one.

        Args:
            ctx: Holds the distiller.
            more: Further arguments of `Twin`.
        """
        cfg = self.config
        return Twin(
            self.space,
            self.data.task,
            self.runtime,
            self.search_net,
            self.make_twin_optimizer,
            ctx.distiller,
            inherit=cfg.twin.inherit,
            share=cfg.twin.share_stem,
            label_smoothing=cfg.label_smoothing,
            **more,
        )

    def choose_twin_arch(self) -> Arch:
        """Return the architecture of the next evaluation network: the one derived last."""
        return self.arch

    def make_twin_optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Make the optimiser of an evaluation network and the distiller."""
        return weights_sgd(parameters, self.config.twin.lr, self.config, steady=self.runtime.graphs.active)

    def make_update(self) -> Update:
        """Return what makes the steps of the optimisers."""
        return Update(self.config.clip, self.loss_scale)

    def make_optimizers(self) -> None:
        """Make the optimisers of the search network and of the architecture."""
        cfg, steady = self.config, self.runtime.graphs.active
        self.runtime.graphs.forget()
        self.search_optimizer = weights_sgd(self.search_net.parameters(), cfg.lr, cfg, steady=steady)
        self.arch_optimizer = arch_adam(self.alpha.parameters(), cfg, steady=steady)

    @property
    def total_steps(self) -> int:
        """The number of steps: epochs or cycles."""
        return self.search_steps

    @property
    def done(self) -> bool:
        """Whether every step has been made, or the guard has ended the search."""
        return not self.searching

    @property
    def searching(self) -> bool:
        """Whether there are steps left to make."""
        return self.epoch < self.search_steps and not self.guard.stopped

    @property
    def resumes_step(self) -> bool:
        """Whether the next step continues one that was stopped in the middle."""
        return self._position is not None

    @property
    def learning(self) -> bool:
        """Whether the architecture learns in the next step."""
        return self.epoch >= self.config.warmup_epochs

    def best(self) -> Arch:
        """Return the architecture derived last: nothing is selected by accuracy."""
        return self.arch

    def option_weights(self) -> Mapping[str, Sequence[float]]:
        """Return the weights that the architecture is derived from."""
        return self.alpha.as_lists()

    def summary(self) -> Mapping[str, Any]:
        """Return the verdict of the guard."""
        return self.guard.summary()

    def workload(self) -> Sequence[Work]:
        """Return the batches of every phase, and the measurements of the guard."""
        return supernet_work(self)

    def derive(self) -> Arch:
        """Return the architecture that the parameters stand for now."""
        return self.space.discretize(self.alpha.as_lists())

    def train(self, where: str) -> dict[str, float]:
        """Train the search network; once it is time also the architecture and the evaluation network.

        Args:
            where: The current phase, for messages: ``"search, epoch 3"``.

        Returns:
            Means over the step: ``search_loss`` and ``search_accuracy`` on the ``weights`` split; once the
            architecture learns ``arch_loss`` and ``penalty`` on the ``arch`` split, with a twin also
            ``eval_loss``, ``eval_accuracy``, ``distill_loss`` and ``eval_warmup_loss``; and of the
            architecture parameters at its end ``arch_entropy`` (1 is uniform) and ``arch_confidence`` (mean
            weight of the heaviest option), with a penalty on the expected cost also that, as
            ``expected_macs`` or the like. Alignment adds ``cell_agreement``, early stopping
            ``stopped_operations``; see `LearningParts.run` and `OperationStopping.metrics`. In fp16 there are
            the metrics of `LossScale`.

        Raises:
            Stopped: A stop was requested; the state describes the moment.
        """
        cfg, learning = self.config, self.learning
        self.alpha.relaxation.progress = min(1.0, self.epoch / max(1, self.search_steps - 1))
        fresh = learning and self.twin is not None and self._is_due(self.twin)
        repeats = self.joint_epochs if learning else 1
        count = self.batches.count
        pairs = min(count("weights"), count("arch")) if learning else count("weights")
        alone = cfg.twin.warmup_epochs * count("arch") if fresh else 0
        self._progress = progress = StepProgress(self.ctx.report, where, alone + repeats * pairs)
        resumed, self._position = self._position, None
        if resumed is not None:
            progress.load_state_dict(resumed)
        elif fresh:
            self._renew_twin()
        phase = "search warm-up" if not learning else "training" if self.twin is None else "joint training"
        world = self.runtime.shards.world
        with within_step():
            made = progress.done
            if made < alone:
                self._train_twin(progress)
            made = max(0, made - alone)
            for self.repeat in range(made // pairs, repeats):
                left = islice(self._read_pairs(learning), made % pairs, None)
                for batch, arch_batch in until_stopped(left):
                    values = {} if arch_batch is None else self._make(self.step_arch, *arch_batch, batch)
                    values |= self._make(self.step_search, *batch)
                    progress.add(phase, len(batch[1]) * world, values)
                made = 0
        self.repeat, self._progress = 0, None
        if learning and self.twin is not None:
            self.twin.remember()
        self.epoch += 1
        shape = {"arch_entropy": self.alpha.entropy(), "arch_confidence": self.alpha.confidence()}
        more = {**self.regularizers.metrics(self.alpha), **self.parts.stopping.metrics()}
        more |= {} if self.loss_scale is None else self.loss_scale.metrics()
        return {**progress.means(), **shape, **more}

    def observe(self) -> dict[str, float]:
        """Derive the architecture and let the guard look at it; return what it measures."""
        self.arch = self.derive()
        if self.epoch <= self.config.warmup_epochs:
            return {}
        measured = self.guard.observe(self.epoch, self.arch)
        self.arch = self.derive()  # a guard may have set the parameters back
        if not self.searching:
            self.runtime.graphs.forget()  # the next stages need their memory
        return measured

    def state_dict(self) -> dict[str, Any]:
        """Return everything the next step depends on."""
        state = {
            "epoch": self.epoch,
            "arch": self.arch.to_json(),
            "alpha": self.alpha.state_dict(),
            "search_net": self.search_net.state_dict(),
            "search_optimizer": self.search_optimizer.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
            "guard": self.guard.state_dict(),
        }
        if self.parts.stopping.is_on:
            state["early_stopping"] = self.parts.stopping.state_dict()
        if self.twin is not None:
            state["twin"] = self.twin.state_dict()
        if left := gradients(self.collect_parts()):
            state["gradients"] = left
        if self.loss_scale is not None:
            state["loss_scale"] = self.loss_scale.state_dict()
        if self._progress is not None:
            state["within_step"] = self._progress.state_dict()
        elif self._position is not None:
            state["within_step"] = dict(self._position)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`.

        Args:
            state: The result of `state_dict` in an earlier process.
        """
        self.runtime.graphs.forget()
        if self.twin is not None:
            self.twin.load_state_dict(state["twin"])
        self.alpha.load_state_dict(state["alpha"])
        self.search_net.load_state_dict(state["search_net"])
        if "early_stopping" in state:
            self.parts.stopping.load_state_dict(state["early_stopping"])
        load_optimizer(self.search_optimizer, state["search_optimizer"])
        load_optimizer(self.arch_optimizer, state["arch_optimizer"])
        load_gradients(self.collect_parts(), state.get("gradients", {}))
        self.guard.load_state_dict(state["guard"])
        if self.loss_scale is not None:
            self.loss_scale.load_state_dict(state["loss_scale"])
        self.epoch, self.arch = state["epoch"], Arch(state["arch"])
        self._position = state.get("within_step")

    def count_arch_epochs(self) -> int:
        """Return the number of earlier steps with passes over the ``arch`` split: it decides the order."""
        return self.epoch

    def _is_due(self, twin: Twin) -> bool:
        return (
            twin.network is None or (self.epoch - self.config.warmup_epochs) % self.config.twin.interval == 0
        )

    def _renew_twin(self) -> None:
        assert self.twin is not None
        self.runtime.graphs.forget()
        self.twin.rebuild(self.choose_twin_arch())
        # Gradients that other steps left belong to the network before: none outlives it, as in the published
        # code, which continues with a copy of everything.
        for parameter in self.collect_parts().parameters():
            parameter.grad = None

    def _train_twin(self, progress: StepProgress) -> None:
        """Make the epochs of a new evaluation network that trains alone, or the rest of them."""
        length = self.batches.count("arch")
        first, made = divmod(progress.done, length)
        for epoch in range(first, self.config.twin.warmup_epochs):
            batches = self._read_arch(epoch)
            for images, labels in until_stopped(islice(batches, made if epoch == first else 0, None)):
                values = self._make(self.step_eval, images, labels)
                progress.add("evaluation warm-up", len(labels) * self.runtime.shards.world, values)

    def _make(self, step: Callable[..., Mapping[str, Tensor]], *batch: Any) -> dict[str, Tensor]:
        """Make a step: in shards, or as a CUDA graph."""
        graphs = self.runtime.graphs
        if not graphs.active or (why := self.explain_eager()):
            if graphs.active:
                graphs.run_eagerly(step.__name__, why)
            return step_in_shards(self.runtime, step, *batch)
        return dict(self.runtime.steady(step, self.refresh_numbers)(*batch))

    def _read_pairs(self, learning: bool) -> Iterator[tuple[Batch, Batch | None]]:
        """Yield batches of the ``weights`` split, once it is time each with one of the ``arch`` split."""
        if not learning:
            yield from ((batch, None) for batch in self.batches.read_to_train("weights", self.epoch))
            return
        warmup = self.config.warmup_epochs
        passes = warmup + (self.epoch - warmup) * self.joint_epochs + self.repeat
        alone = 0 if self.twin is None else self.config.twin.warmup_epochs
        arch_batches = self._read_arch(alone + self.repeat)
        yield from zip(self.batches.read_to_train("weights", passes), arch_batches, strict=False)

    def _read_arch(self, number: int) -> Iterable[Batch]:
        """Return the batches of one pass over the ``arch`` split in this step; each has its own order."""
        alone = 0 if self.twin is None else self.config.twin.warmup_epochs
        return self.batches.read_to_train(
            "arch", self.count_arch_epochs() * (alone + self.joint_epochs) + number
        )
