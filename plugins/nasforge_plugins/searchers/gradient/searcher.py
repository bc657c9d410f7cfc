"""Search by gradients: weights and architecture learn in turns, from two halves of the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from torch import Tensor
from torch.nn.functional import cross_entropy

from nasforge.component import Context
from nasforge.errors import RunError
from nasforge.nn import OptionWeights
from nasforge.space import NetworkSpace, PartialChannels
from nasforge.training.loops import cosine_lr, set_lr
from nasforge.training.optim import frozen
from nasforge.training.twin import Twin
from nasforge.training.update import Update
from nasforge_plugins.searchers.gradient.batches import Batch
from nasforge_plugins.searchers.gradient.bilevel import gradients_of, unrolled_gradients
from nasforge_plugins.searchers.gradient.config import GradientConfig
from nasforge_plugins.searchers.gradient.perturbation import adversarial, uniform
from nasforge_plugins.searchers.gradient.progress import accuracy_of
from nasforge_plugins.searchers.gradient.supernet import SupernetSearcher

__all__ = ["GradientSearcher"]

G = TypeVar("G", bound=GradientConfig)


class GradientSearcher(SupernetSearcher[G]):
    """Differentiable architecture search (Liu et al., ICLR 2019, Algorithm 1), in all its varieties.

    One step is one epoch: for every batch of the ``weights`` split, the architecture parameters first learn
    from a batch of the ``arch`` split, then the search network learns. Only gradients that are used are
    computed.
    """

    def prepare_space(self, space: NetworkSpace[Any]) -> NetworkSpace[Any]:
        """Return the space, with partial channels if so configured.

        Raises:
            RunError: The space lacks the capability `PartialChannels`.
        """
        share = self.config.partial_channels
        if share == 1:
            return space
        if not isinstance(space, PartialChannels):
            raise RunError(
                f"searcher.partial_channels: the search networks of {type(space).__name__} have no partial "
                "channels. Set partial_channels = 1, or give the space the capability PartialChannels."
            )
        return space.with_partial_channels(share)

    def make_twin(self, ctx: Context, **more: Any) -> Twin | None:
        """Return an evaluation network if there is a distiller.

        Raises:
            RunError: The search is of second order.
        """
        if ctx.distiller is None:
            return None
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

    def step(self) -> Mapping[str, float]:
        """Make one epoch; return the metrics of `train`, and what `CollapseGuard.observe` measures."""
        cfg = self.config
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

        def valid_loss() -> Tensor:
            output = self.run(images)
            loss = cross_entropy(output.logits.float(), labels)
            penalty = self.compute_penalties()
            values.update(arch_loss=loss, arch_accuracy=accuracy_of(output, labels), penalty=penalty)
            return loss + penalty

        if self.config.order == 2:
            assert train is not None, "second order needs a batch of the weights split"
            gradients, _ = unrolled_gradients(
                arch, self.search_net, lambda: self._task_loss(*train), valid_loss, self.search_optimizer
            )
        else:
            with frozen(self.search_net.parameters()):
                gradients = gradients_of(valid_loss(), arch)
        Update().apply(arch, gradients, self.arch_optimizer)
        return values

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

    def _task_loss(self, images: Tensor, labels: Tensor, weights: OptionWeights | None = None) -> Tensor:
        return cross_entropy(self.run(images, weights).logits.float(), labels)
