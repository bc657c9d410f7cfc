"""Stages of a search whose network becomes wider and loses options (DrNAS, progressive learning)."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from nasforge.component import Context
from nasforge.errors import RunError
from nasforge.nn import ArchParameters, Network
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace, PartialChannels, ReducedNetworks
from nasforge.training.loops import isolated_random
from nasforge_plugins.searchers.gradient.config import GradientConfig
from nasforge_plugins.searchers.gradient.widening import Sources, copy_widened, find_sources

__all__ = ["Progression", "with_partial_channels"]


def with_partial_channels(space: NetworkSpace[Any], share: int, option: str) -> NetworkSpace[Any]:
    """Return the space, with partial channels if so configured.

    Args:
        space: The space.
        share: Options see one channel in so many; 1 leaves it to the space.
        option: The option that asks for it, for the message.

    Raises:
        RunError: The space lacks the capability `PartialChannels`.
    """
    if share == 1:
        return space
    if not isinstance(space, PartialChannels):
        raise RunError(
            f"searcher.{option}: the search networks of {type(space).__name__} have no partial channels. Set "
            "it to 1, or give the space the capability PartialChannels."
        )
    return space.with_partial_channels(share)


class Progression:
    """The stages of a search: when each begins, and its space and search network.

    Args:
        config: The options of the search.
        ctx: Space, data and runtime.

    Attributes:
        stage: The stage whose network is in use, from 0.
    """

    def __init__(self, config: GradientConfig, ctx: Context) -> None:
        self._config, self._ctx = config, ctx
        self._ends = list(accumulate(config.stages.epochs or (config.epochs,)))
        self.stage = 0

    @property
    def is_progressive(self) -> bool:
        """Whether there is more than one stage."""
        return len(self._ends) > 1

    def has_ended(self, epoch: int) -> bool:
        """Return whether the next stage begins with an epoch, counted from 0."""
        return self.stage + 1 < len(self._ends) and epoch >= self._ends[self.stage]

    def epochs_before(self, epoch: int) -> int:
        """Return the number of epochs of a stage that precede one of its epochs, counted from 0."""
        return epoch - max((end for end in self._ends[:-1] if end <= epoch), default=0)

    def count_kept(self) -> int | None:
        """Return how many options each choice keeps in the stage, or None for all."""
        keep = self._config.stages.keep
        return keep[self.stage - 1] if keep and self.stage > 0 else None

    def space(self) -> NetworkSpace[Any]:
        """Return the space of the stage; see `with_partial_channels`."""
        space, stages = self._ctx.space, self._config.stages
        assert isinstance(space, NetworkSpace), "the recipe check requires a space with a supernet"
        if stages.partial_channels:
            return with_partial_channels(
                space, stages.partial_channels[self.stage], "stages.partial_channels"
            )
        return with_partial_channels(space, self._config.partial_channels, "partial_channels")

    def build(self, alpha: ArchParameters) -> Network:
        """Build the search network of the stage, without the options that have been pruned.

        The global generators continue as if nothing had been built.

        Args:
            alpha: Knows the options that are kept.

        Raises:
            RunError: The space lacks the capability `ReducedNetworks`.
        """
        ctx, space = self._ctx, self.space()
        assert ctx.data is not None, "the recipe check requires a [data] table"
        kept = _names(space, alpha.kept)
        with isolated_random(ctx.runtime.device, self._seed()):
            if not kept:
                return ctx.runtime.prepare(space.build(ctx.data.task, scale="search"))
            if not isinstance(space, ReducedNetworks):
                raise RunError(
                    f"searcher.stages.keep: {type(space).__name__} builds no networks without some of their "
                    "options. Set keep = [], or give the space the capability ReducedNetworks."
                )
            return ctx.runtime.prepare(space.build_reduced(ctx.data.task, kept))

    def widen(self, old: nn.Module, new: nn.Module) -> Sources:
        """Copy the weights of the stage before into the network of this stage; return what was copied.

        Args:
            old: The network of the stage before.
            new: That of this stage.
        """
        sources = find_sources(old, new, torch.Generator().manual_seed(self._seed()))
        copy_widened(new, old, sources)
        return sources

    def _seed(self) -> int:
        return derive_seed(self._ctx.seed, "stage", self.stage)


def _names(space: NetworkSpace[Any], kept: dict[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """Return the names of kept options by choice, for the choices that have been pruned."""
    return {
        choice.name: tuple(
            o for o, stays in zip(choice.options, kept[choice.name].tolist(), strict=True) if stays
        )
        for choice in space.choices
        if choice.name in kept
    }
