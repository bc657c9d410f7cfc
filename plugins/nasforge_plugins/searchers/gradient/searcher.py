"""Search by gradients: weights and architecture learn in turns, from two halves of the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from torch import Tensor

from nasforge.component import Context
from nasforge.errors import RunError
from nasforge.nn import Network, OptionWeights
from nasforge.space import NetworkSpace
from nasforge.training.loops import cosine_lr, set_lr
from nasforge.training.optim import frozen
from nasforge.training.twin import Twin
from nasforge.training.update import Update
from nasforge_plugins.searchers.gradient.batches import Batch
from nasforge_plugins.searchers.gradient.bilevel import gradients_of, unrolled_gradients
from nasforge_plugins.searchers.gradient.config import GradientConfig
from nasforge_plugins.searchers.gradient.landscape import Landscape
from nasforge_plugins.searchers.gradient.optimizers import weights_sgd
from nasforge_plugins.searchers.gradient.perturbation import adversarial, uniform
from nasforge_plugins.searchers.gradient.progress import accuracy_of
from nasforge_plugins.searchers.gradient.progression import Progression
from nasforge_plugins.searchers.gradient.supernet import SupernetSearcher
from nasforge_plugins.searchers.gradient.widening import widen_momentum

__all__ = ["GradientSearcher"]

G = TypeVar("G", bound=GradientConfig)


class GradientSearcher(SupernetSearcher[G]):
    """Differentiable architecture search (Liu et al., ICLR 2019, Algorithm 1), in all its varieties.

    One step is one epoch: for every batch of the ``weights`` split, the architecture parameters first learn
    from a batch of the ``arch`` split, then the search network learns. Only gradients that are used are
    computed.
    """

    def setup(self, ctx: Context) -> None:
        """Build everything for the first stage.

        Raises:
            RunError: The options cannot be computed in fp16.
        """
        if ctx.runtime.precision == "fp16":
            self._check_half()
        self.progression = Progression(self.config, ctx)
        super().setup(ctx)

    def prepare_space(self, space: NetworkSpace[Any]) -> NetworkSpace[Any]:
        """Return the space of the first stage, with partial channels if so configured."""
        return self.progression.space()

    def make_twin(self, ctx: Context, **more: Any) -> Twin | None:
        """Return an evaluation network if there is a distiller.

        Raises:
            RunError: The search is of second order, or has several stages.
        """
        if ctx.distiller is None:
            return None
        if self.progression.is_progressive:
            raise RunError(
                "[searcher.stages]: an evaluation network cannot follow a search network that changes. Set "
                "epochs = [], or leave the [distiller] table out."
            )
        if self.config.order == 2:
            raise RunError(
                "[searcher]: order = 2 looks ahead for the search network alone. Set order = 1, or leave the "
                "[distiller] table out."
            )
        return super().make_twin(ctx, **more)

    @property
    def search_steps(self) -> int:
        """The number of epochs."""
        return self.config.epochs

    @property
    def learning(self) -> bool:
        """Whether the architecture learns in the next epoch: not in the first ones of each stage."""
        return self.progression.epochs_before(self.epoch) >= self.config.warmup_epochs

    def step(self) -> Mapping[str, float]:
        """Make one epoch; return the metrics of `train`, and what `CollapseGuard.observe` measures."""
        cfg = self.config
        if self.progression.has_ended(self.epoch):
            self._begin_stage()
        set_lr(self.search_optimizer, cosine_lr(self.epoch, cfg.epochs, cfg.lr, cfg.min_lr))
        metrics = self.train(f"search, epoch {self.epoch + 1}")
        return {**metrics, **self.observe()}

    def step_arch(self, images: Tensor, labels: Tensor, train: Batch | None = None) -> dict[str, Tensor]:
        """Train the architecture parameters; with a distiller, see `step_jointly`.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.
            train: The next batch of the ``weights`` split: second order looks one step ahead.

        Returns:
            Scalars by metric name.
        """
        if self.twin is not None:
            return self.step_jointly(images, labels)
        self.search_net.train()
        arch = list(self.alpha.parameters())
        values: dict[str, Tensor] = {}
        update = Update(loss_scale=self.loss_scale)

        def valid_loss() -> Tensor:
            output = self.run(images)
            loss = self.cross_entropy(output, labels)
            penalty = self.compute_penalties()
            values.update(arch_loss=loss, arch_accuracy=accuracy_of(output, labels), penalty=penalty)
            return loss + penalty

        if self.config.order == 2:
            assert train is not None, "second order needs a batch of the weights split"
            gradients, _ = unrolled_gradients(
                arch, self.search_net, lambda: self._task_loss(*train), valid_loss, self.search_optimizer
            )
        else:
            stopping = self.parts.stopping
            measured = stopping.measured()
            with frozen(stopping.select_unmeasured(self.search_net.parameters())):
                found = gradients_of(update.scaled(valid_loss()), [*arch, *measured])
            gradients = found[: len(arch)]
            stopping.compare(found[len(arch) :])
        update.apply(arch, gradients, self.arch_optimizer)
        return values

    def explain_eager(self) -> str:
        """Return why steps cannot be captured: second order restores weights, perturbation draws numbers."""
        if self.config.order == 2:
            return "second order sets weights forth and back"
        if self.config.perturbation.kind != "none":
            return "the radius of the perturbation grows"
        return super().explain_eager()

    def draw_training_weights(self, images: Tensor, labels: Tensor) -> OptionWeights:
        """Return option weights, disturbed if so configured."""
        options, weights = self.config.perturbation, self.draw_weights()
        if options.kind == "none":
            return weights
        open_choices = self.alpha.operation_logits().keys() - self.get_fixed_weights().keys()
        learned = {name: cast("Tensor", weights[name]) for name in sorted(open_choices)}
        first, last = options.epsilon
        radius = first + (last - first) * min(1.0, self.epoch / self.config.epochs)
        simplex = self.alpha.relaxation.simplex
        if options.kind == "random":
            return {**weights, **uniform(learned, radius, simplex=simplex)}
        # The attack must leave no trace in running statistics, hence `eval`.
        self.search_net.eval()
        with frozen(self.search_net.parameters()):
            attacked = adversarial(
                learned,
                radius,
                lambda tried: self._task_loss(images, labels, {**weights, **tried}),
                steps=options.steps,
                simplex=simplex,
            )
        return {**weights, **attacked}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the search, and which options the current stage has."""
        state = super().state_dict()
        if self.progression.is_progressive:
            state["stage"] = self.progression.stage
            state["kept"] = dict(self.alpha.kept)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`.

        Args:
            state: The result of `state_dict` in an earlier process.
        """
        if state.get("stage", 0) > 0:
            self.progression.stage = state["stage"]
            device = self.runtime.device
            self.alpha.kept = {name: mask.to(device) for name, mask in state["kept"].items()}
            self._use(self.progression.build(self.alpha))
        super().load_state_dict(state)

    def _check_half(self) -> None:
        """Refuse what differentiates losses that no update scales.

        Raises:
            RunError: The options ask for it.
        """
        second, attack = self.config.order == 2, self.config.perturbation.kind == "adversarial"
        if second or attack:
            option = "order = 2" if second else "perturbation.kind = 'adversarial'"
            raise RunError(
                f"[searcher]: {option} takes gradients of losses that are not scaled, of which fp16 rounds "
                "many to zero. Set run.precision to 'bf16' or 'fp32'."
            )

    def _begin_stage(self) -> None:
        """Prune the architecture, and continue with a wider search network that has the weights so far."""
        self.progression.stage += 1
        if (count := self.progression.count_kept()) is not None:
            self.alpha.prune(count)
        old, momentum = self.search_net, self.search_optimizer
        new = self.progression.build(self.alpha)
        sources = self.progression.widen(old, new)
        self._use(new)
        widen_momentum(self.search_optimizer, new, momentum, old, sources)

    def _use(self, network: Network) -> None:
        """Search with another network, and an optimiser of its weights."""
        cfg, graphs = self.config, self.runtime.graphs
        graphs.forget()
        self.space, self.search_net = self.progression.space(), network
        self.search_optimizer = weights_sgd(network.parameters(), cfg.lr, cfg, steady=graphs.active)
        stopped, self.parts = self.parts.stopping.stopped, self.make_parts()
        self.parts.stopping.stop(stopped)
        self.guard.watch(Landscape(self.ctx, network, self.alpha, self.compute_mean_weights))

    def _task_loss(self, images: Tensor, labels: Tensor, weights: OptionWeights | None = None) -> Tensor:
        return self.cross_entropy(self.run(images, weights), labels)
