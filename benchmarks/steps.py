"""What is timed: a step of a search or an epoch of a training, by nasforge's own searchers and trainer.

Every step exists twice. The *reference* is the plain implementation, as the originals are written: a module
per operation and edge, NCHW, float32, gradients of everything. The other is nasforge as it comes. Both start
from the same weights and see the same images, so their first losses agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from nasforge.component import Context
from nasforge.data import Split
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace
from nasforge_plugins.data.synthetic.config import SyntheticConfig
from nasforge_plugins.data.synthetic.data import Synthetic
from nasforge_plugins.distillers.stages.config import StagesConfig
from nasforge_plugins.distillers.stages.distiller import StagesDistiller
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.training import Training
from nasforge_plugins.searchers.cdarts.config import CdartsConfig
from nasforge_plugins.searchers.cdarts.searcher import Cdarts
from nasforge_plugins.searchers.gradient.config import GradientConfig
from nasforge_plugins.searchers.gradient.searcher import GradientSearcher

__all__ = ["CdartsStep", "DartsStep", "Setting", "TrainEpoch", "Work", "build_context", "draw_batches"]


@dataclass(frozen=True)
class Setting:
    """Where and how a step is done.

    Attributes:
        runtime: Device, precision and layout.
        reference: The plain implementation instead of nasforge's own.
        batch: Images per step.
        image_size: Their side.
    """

    runtime: Runtime
    reference: bool
    batch: int
    image_size: int = 32

    @property
    def execution(self) -> str:
        """What the spaces call this way of computing."""
        return "reference" if self.reference else "fast"


class Work(Protocol):
    """Something that can be done again and again."""

    def step(self) -> Tensor:
        """Do it once and return a loss."""


class CdartsStep:
    """A joint step (architecture, evaluation network, distiller) and a step of the search network's weights.

    Args:
        setting: Where and how.
        space: With the sizes of both networks.
        arch: Notation of the architecture that the evaluation network has.
    """

    def __init__(self, setting: Setting, space: NetworkSpace[Any], arch: str) -> None:
        torch.manual_seed(0)
        config = CdartsConfig.model_validate(
            {
                # The strength of the penalty is 1 in the first step.
                "warmup_epochs": 0,
                "penalty": {"coefficient": 1.0},
                "quirks": {"clip_scope": "all" if setting.reference else "per_network"},
            }
        )
        self.searcher = Cdarts(config)
        self.searcher.setup(
            build_context(
                space, setting, distiller=StagesDistiller(StagesConfig.model_validate({"freeze_heads": True}))
            )
        )
        assert self.searcher.twin is not None
        self.searcher.twin.rebuild(space.parse(arch))
        assert self.searcher.twin.network is not None
        self.searcher.twin.network.train()
        assert self.searcher.twin.optimizer is not None
        optimizers = (
            self.searcher.search_optimizer,
            self.searcher.arch_optimizer,
            self.searcher.twin.optimizer,
        )
        _as_written(setting, optimizers)
        self.batches = draw_batches(self.searcher.data, setting)

    def step(self) -> Tensor:
        """Make both steps; return the loss of the search network in the first."""
        values = self.searcher.step_arch(*self.batches["arch"])
        self.searcher.step_search(*self.batches["weights"])
        return values["arch_loss"]


class DartsStep:
    """First-order DARTS: a step of the architecture, then a step of the weights, every option computed.

    Args:
        setting: Where and how.
        space: With the size of the search network.
        options: Of the searcher; those of DARTS by default.
    """

    def __init__(
        self, setting: Setting, space: NetworkSpace[Any], options: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        torch.manual_seed(0)
        self.searcher = GradientSearcher(GradientConfig.model_validate(dict(options)))
        self.searcher.setup(build_context(space, setting))
        self.searcher.search_net.train()
        _as_written(setting, (self.searcher.search_optimizer, self.searcher.arch_optimizer))
        self.batches = draw_batches(self.searcher.data, setting)
        self.step = self._plain_step if setting.reference else self._step

    def _step(self) -> Tensor:
        values = self.searcher.step_arch(*self.batches["arch"])
        self.searcher.step_search(*self.batches["weights"])
        return values["arch_loss"]

    def _plain_step(self) -> Tensor:
        """Differentiate by everything, as the original does, whoever steps."""
        searcher, losses = self.searcher, []
        for split, optimizer in (("arch", searcher.arch_optimizer), ("weights", searcher.search_optimizer)):
            images, labels = self.batches[split]
            searcher.arch_optimizer.zero_grad()
            searcher.search_optimizer.zero_grad()
            loss = cross_entropy(searcher.run(images).logits, labels)
            loss.backward()
            losses.append(loss.detach())
            if split == "weights":
                clip_grad_norm_(searcher.search_net.parameters(), searcher.config.clip)
            optimizer.step()
        return losses[0]


class TrainEpoch:
    """An epoch of a few steps of a derived network's training, augmentation, drop-path and all.

    Args:
        setting: Where and how.
        space: With the size of the final network.
        arch: Notation of its architecture.
        steps: Batches per epoch.
        options: Of the ``train`` evaluator, over the published training on CIFAR.
    """

    def __init__(
        self,
        setting: Setting,
        space: NetworkSpace[Any],
        arch: str,
        steps: int,
        options: Mapping[str, Any] = {},
    ) -> None:
        torch.manual_seed(0)
        published = {"auxiliary_weight": 0.4, "cutout": 16, "drop_path": 0.2, "batch_size": setting.batch}
        config = TrainConfig.model_validate({**published, **options})
        context = build_context(space, setting, images=steps * setting.batch, stage="train")
        self.training = Training(config, context, space.parse(arch), epochs=1000)
        self.epoch = 500

    def step(self) -> Tensor:
        """Train for one epoch; return its mean loss."""
        scores = self.training.run_epoch(self.epoch, "full", lambda values: None)
        return torch.tensor(scores.loss)


def _as_written(setting: Setting, optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Let the reference's optimisers go parameter by parameter, as torch does on a CPU by itself."""
    for optimizer in optimizers if setting.reference else ():
        for group in optimizer.param_groups:
            group["foreach"] = None


def build_context(
    space: NetworkSpace[Any], setting: Setting, images: int | None = None, stage: Any = "search", **parts: Any
) -> Context:
    def no_slot(name: str) -> Any:
        raise AssertionError(f"slot {name!r}: nothing is saved here")

    sizes = {"batch_size": setting.batch, "image_size": setting.image_size, "test_images": 10}
    # Every class has an image.
    sizes["train_images"] = max(images or 2 * setting.batch, 20)
    data = Synthetic(SyntheticConfig.model_validate(sizes))
    context = Context(space, setting.runtime, 0, stage, no_slot, lambda values: None, data=data, **parts)
    data.setup(context)
    return context


def draw_batches(data: Any, setting: Setting) -> dict[str, tuple[Tensor, Tensor]]:
    splits: tuple[Split, Split] = ("weights", "arch")
    return {
        split: next(iter(data.batches(split, augment=False, batch_size=setting.batch))) for split in splits
    }
