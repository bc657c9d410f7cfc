"""The chain-structured space of CDARTS: inverted bottlenecks whose kernel, expansion and number vary.

Published are the blocks, the skeleton at 224 pixels, and two architectures. **The search code of this space
was never released.** What is ours is therefore marked in the class docstring.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Self

from torch import nn

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph, Node
from nasforge.errors import ArchError, suggest
from nasforge.nn import Network
from nasforge.plugins.capabilities import NetworkPart
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.chain.choices import (
    SKIP,
    choices_of_stages,
    option_names,
    range_of_depth,
)
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.elastic import ElasticMBConv
from nasforge_plugins.spaces.chain.network import ChainNetwork, make_operation
from nasforge_plugins.spaces.chain.notation import PUBLISHED, read_index_lists, write_index_lists
from nasforge_plugins.spaces.chain.stage_plan import Place, StagePlan, plan_stages

__all__ = ["ChainSpace"]


class ChainSpace(NetworkSpace[ChainConfig]):
    """Five stages of inverted bottlenecks; every block picks one of ``k3e4 k3e6 k5e4 k5e6 k7e4 k7e6``.

    Choices are named ``stage2/block1``: stages from 1, blocks from 0. The first block of a stage carries its
    stride and its change of width.

    Published (arXiv 2006.10724, released backbones): options and their order, squeeze-and-excitation at a
    quarter of the inner width, widths, strides, head, CDARTS-a and CDARTS-b. Our reading, because no search
    code was released: one choice per block; the option ``skip`` for the different depths of the two
    published networks; batch-norm with affine parameters and no dropout during a search; thinner networks
    during a search by a width multiplier; features at the end of every stage; the ``"cifar"`` strides; the
    start of the weights.

    A skipped block passes its input on, so only the number of skipped blocks in a stage matters when a
    network is trained from scratch: `canonical` moves skipped blocks to the end of their stage.

    With the option ``elastic``, all architectures are slices of one set of weights (once-for-all, Cai et al.,
    ICLR 2020). Choices are ``stage2/depth`` and, of every block, ``stage2/block1/kernel`` and
    ``stage2/block1/expansion``: a kernel is the middle of the largest, an expansion its leading channels, and
    a depth the first blocks of a stage. `canonical` gives blocks beyond the depth the first options.
    """

    tied = ("stem",)

    def __init__(self, config: ChainConfig) -> None:
        super().__init__(config)
        self._stages = choices_of_stages(config)
        skips = any(SKIP in choice.options for choice in self.choices)
        self.parameter_free = frozenset({SKIP} if skips else ())

    @property
    def reference_task(self) -> Task:
        """ImageNet at 224 pixels for the layout ``"imagenet"``, CIFAR-10 for ``"cifar"``."""
        return Task(3, 224, 1000) if self.config.layout == "imagenet" else Task(3, 32, 10)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the kinds of blocks, in the order of the published indices."""
        return option_names(self.config)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices of every block, from stage 1 to stage 5; elastic stages begin with their depth."""
        return tuple(choice for stage in self._stages for choice in stage.flat())

    def with_partial_channels(self, share: int) -> Self:
        """Return this space with search networks whose options see one channel in ``share`` (PC-DARTS)."""
        return self.with_options(partial_channels=share)

    def with_plain_networks(self) -> Self:
        """Return this space with networks that call every layer as a module."""
        return self.with_options(execution="reference")

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build a network or the supernet; see `NetworkSpace.build`.

        Raises:
            ArchError: ``arch`` does not belong to this space.
        """
        if arch is not None:
            self.validate(arch)
        return ChainNetwork(self.config, task, arch, scale)

    def canonical(self, arch: Arch) -> Arch:
        """Move skipped blocks behind the others; give elastic blocks beyond the depth the first options."""
        picks: dict[str, str] = {}
        for stage in self._stages:
            picks |= stage.write(stage.read(arch))
        return Arch(picks)

    def size(self) -> int:
        """Return the number of different networks, with every number of blocks that a stage may have."""
        n = len(self.options)
        ranges = (range_of_depth(self.config, depth) for depth in self.config.depths)
        return math.prod(sum(n**d for d in range(least, most + 1)) for least, most in ranges)

    def parts(self, task: Task) -> Iterator[NetworkPart]:
        """Yield every block with every kind that it may have, by the options that they need."""
        makers: dict[object, Callable[[], nn.Module]] = {}
        for plan in plan_stages(self.config, "final"):
            for number, place in enumerate(plan.places, start=1):
                side = -(-task.image_size // place.before)
                shape = (1, place.c_in, side, side)
                for picks, make in _kinds(place):
                    key = (place[1:], shape, *(answer for _, answer in picks))
                    make = makers.setdefault(key, make)
                    for under in _under(plan, number):
                        yield NetworkPart((*under, *picks), shape, make)

    def parse(self, text: str) -> Arch:
        """Read ``CDARTS-a``, ``CDARTS-b``, index lists ``[[0],[3],…,[0]]``, or JSON.

        Raises:
            ArchError: The text cannot be read, or is not an architecture of this space.
        """
        text = text.strip()
        if text.startswith("{"):
            return super().parse(text)
        if text[:1].isalpha():
            if text not in PUBLISHED:
                raise ArchError(f"no published chain architecture {text!r}.{suggest(text, PUBLISHED)}")
            if (self.config.kernels, self.config.expansions) != ((3, 5, 7), (4, 6)):
                raise ArchError(f"{text} needs the published kernels [3, 5, 7] and expansions [4, 6].")
        depths = [range_of_depth(self.config, depth) for depth in self.config.depths]
        lists = read_index_lists(PUBLISHED.get(text, text), self.options, depths)
        picks: dict[str, str] = {}
        for stage, indices in zip(self._stages, lists, strict=True):
            picks |= stage.write([self.options[index] for index in indices])
        return Arch(picks)

    def notation(self, arch: Arch) -> str:
        """Write index lists, one per stage, without blocks that are left out."""
        return write_index_lists(
            [[self.options.index(option) for option in stage.read(arch)] for stage in self._stages]
        )

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return the chain from stem to head; a block is named by its stage and its place there."""
        nodes: list[Node] = []
        for number, stage in enumerate(self._stages, start=1):
            for i, option in enumerate(stage.read(arch)):
                before = nodes[-1].name if nodes else "stem"
                nodes.append(Node(f"{number}.{i}", ((option, before),)))
        return (Graph("chain", ("stem",), tuple(nodes)),)


def _kinds(place: Place) -> Iterator[tuple[tuple[tuple[str, str], ...], Callable[[], nn.Module]]]:
    """Yield the answers of a block's choices, and what builds the block for them."""
    if len(place.choices) == 1:
        (choice,) = place.choices
        for option in choice.options:
            yield ((choice.name, option),), partial(make_operation, place, option)
        return
    kernel, expansion = place.choices
    for side in kernel.options:
        for width in expansion.options:
            alone = (
                Choice(kernel.name, (side,), elastic=True),
                Choice(expansion.name, (width,), elastic=True),
            )
            picks = ((kernel.name, side), (expansion.name, width))
            yield picks, partial(ElasticMBConv, place.c_in, place.c_out, place.stride, *alone)


def _under(plan: StagePlan, number: int) -> list[tuple[tuple[str, str], ...]]:
    """Return the answers under which a stage has its block of a number, from 1; one empty answer: always."""
    depth = plan.choices.depth
    if depth is None or number <= int(depth.options[0]):
        return [()]
    return [((depth.name, option),) for option in depth.options if int(option) >= number]
