"""An evaluation network that learns beside the search network, and how both learn from each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from nasforge.component import Context
from nasforge.distiller import Distiller
from nasforge.errors import RunError
from nasforge.nn import Network, Output
from nasforge.space import NetworkSpace
from nasforge.training.optim import frozen
from nasforge.training.twin import Twin
from nasforge_plugins.searchers.gradient.config import GradientConfig
from nasforge_plugins.searchers.gradient.progress import accuracy_of

__all__ = ["TwinTrainer"]


class TwinTrainer:
    """Trains a `Twin` in the steps of the architecture, as CDARTS does (step A of its joint training).

    Args:
        twin: The evaluation network and the distiller.
        config: Options of the searcher.

    Attributes:
        twin: As given.
    """

    def __init__(self, twin: Twin, config: GradientConfig) -> None:
        self.twin, self._config = twin, config

    @classmethod
    def beside(
        cls,
        search_net: Network,
        space: NetworkSpace[Any],
        ctx: Context,
        distiller: Distiller[Any],
        make_optimizer: Callable[[list[nn.Parameter]], Optimizer],
        config: GradientConfig,
    ) -> Self:
        """Return a trainer with a twin of its own.

        Args:
            search_net: The supernet being searched, already prepared.
            space: What built it.
            ctx: Data and runtime of the search.
            distiller: Compares both networks.
            make_optimizer: Makes the optimiser of the evaluation network and the distiller.
            config: Options of the searcher.

        Raises:
            RunError: The searcher is of second order.
        """
        if config.order == 2:
            raise RunError(
                "[searcher]: order = 2 looks ahead for the search network alone. Set order = 1, or leave the "
                "[distiller] table out."
            )
        assert ctx.data is not None, "the recipe check requires a [data] table"
        task, share = ctx.data.task, config.share_stem
        twin = Twin(space, task, ctx.runtime, search_net, make_optimizer, distiller, share=share)
        return cls(twin, config)

    def due(self, epoch: int) -> bool:
        """Return whether a new evaluation network begins.

        Args:
            epoch: Since the architecture began to learn, from 0.
        """
        return self.twin.network is None or epoch % self._config.eval_interval == 0

    def step_eval(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Train the evaluation network alone.

        Args:
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        loss, _, output = self.twin.loss(images, labels)
        self._descend(loss)
        return {"eval_warmup_loss": loss, "eval_warmup_accuracy": accuracy_of(output, labels)}

    def step_arch(
        self,
        run: Callable[[Tensor], Output],
        penalties: Callable[[], Tensor],
        optimizer: Optimizer,
        images: Tensor,
        labels: Tensor,
    ) -> dict[str, Tensor]:
        """Train evaluation network, distiller and architecture together.

        Args:
            run: Runs the search network.
            penalties: Returns what only the architecture is to blame for.
            optimizer: Of the architecture.
            images: From the ``arch`` split, ``(B, C, S, S)``.
            labels: ``(B,)``.

        Returns:
            Scalars by metric name.
        """
        with frozen(self.twin.resting()):
            student = run(images)
            arch_loss = cross_entropy(student.logits.float(), labels)
            eval_loss, distill_loss, teacher = self.twin.loss(images, labels, student)
            penalty = penalties()
            loss = arch_loss + eval_loss + self._config.distill_weight * distill_loss + penalty
        self._descend(loss)
        optimizer.step()
        optimizer.zero_grad()
        return {
            "arch_loss": arch_loss,
            "arch_accuracy": accuracy_of(student, labels),
            "eval_loss": eval_loss,
            "eval_accuracy": accuracy_of(teacher, labels),
            "distill_loss": distill_loss,
            "penalty": penalty,
        }

    def _descend(self, loss: Tensor) -> None:
        assert self.twin.optimizer is not None, "the evaluation network is built before its first update"
        self.twin.optimizer.zero_grad()
        loss.backward()
        if self._config.clip > 0:
            clip_grad_norm_(self.twin.parameters(), self._config.clip)
        self.twin.optimizer.step()
        self.twin.optimizer.zero_grad()
