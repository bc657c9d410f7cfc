"""The chain-structured space of CDARTS: inverted bottlenecks whose kernel, expansion and number vary.

Published are the blocks, the skeleton at 224 pixels, and two architectures. **The search code of this space
was never released.** What is ours is therefore marked in the class docstring.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import Self

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph, Node
from nasforge.errors import ArchError, suggest
from nasforge.nn import Network
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.network import SKIP, ChainNetwork
from nasforge_plugins.spaces.chain.notation import PUBLISHED, read_index_lists, write_index_lists

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
    """

    parameter_free = frozenset({SKIP})
    tied = ("stem",)

    @property
    def reference_task(self) -> Task:
        """ImageNet at 224 pixels for the layout ``"imagenet"``, CIFAR-10 for ``"cifar"``."""
        return Task(3, 224, 1000) if self.config.layout == "imagenet" else Task(3, 32, 10)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the convolutional options, in the order of the published indices."""
        return tuple(f"k{k}e{e}" for k in self.config.kernels for e in self.config.expansions)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """One choice per block, from stage 1 to stage 5."""
        shorter = (*self.options, SKIP) if self.config.variable_depth else self.options
        return tuple(
            Choice(f"stage{number}/block{i}", self.options if i == 0 else shorter)
            for number, depth in enumerate(self.config.depths, start=1)
            for i in range(depth)
        )

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
        return ChainNetwork(self.config, self.choices, task, arch, scale)

    def canonical(self, arch: Arch) -> Arch:
        """Move the skipped blocks of every stage behind its other blocks."""
        picks: dict[str, tuple[str, ...]] = {}
        for blocks in self._stages():
            answers = sorted((arch[choice.name] for choice in blocks), key=lambda answer: answer == (SKIP,))
            picks |= {choice.name: answer for choice, answer in zip(blocks, answers, strict=True)}
        return Arch(picks)

    def size(self) -> int:
        """Return the number of different networks: with variable depth, one to all blocks in every stage."""
        n = len(self.options)
        if not self.config.variable_depth:
            return n ** sum(self.config.depths)
        return math.prod(sum(n**d for d in range(1, depth + 1)) for depth in self.config.depths)

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
        stages = read_index_lists(
            PUBLISHED.get(text, text), self.options, self.config.depths, self.config.variable_depth
        )
        return Arch(
            {
                choice.name: self.options[stage[i]] if i < len(stage) else SKIP
                for blocks, stage in zip(self._stages(), stages, strict=True)
                for i, choice in enumerate(blocks)
            }
        )

    def notation(self, arch: Arch) -> str:
        """Write index lists, one per stage, without skipped blocks."""
        return write_index_lists(
            [
                [
                    self.options.index(arch[choice.name][0])
                    for choice in blocks
                    if arch[choice.name] != (SKIP,)
                ]
                for blocks in self._stages()
            ]
        )

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return the chain from stem to head, without skipped blocks; a block is named by stage and place."""
        nodes: list[Node] = []
        for number, blocks in enumerate(self._stages(), start=1):
            for i, choice in enumerate(blocks):
                if arch[choice.name] != (SKIP,):
                    before = nodes[-1].name if nodes else "stem"
                    nodes.append(Node(f"{number}.{i}", ((arch[choice.name][0], before),)))
        return (Graph("chain", ("stem",), tuple(nodes)),)

    def _stages(self) -> list[list[Choice]]:
        return [list(group) for _, group in groupby(self.choices, key=lambda c: c.name.partition("/")[0])]
