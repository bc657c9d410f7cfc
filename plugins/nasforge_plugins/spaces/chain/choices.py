"""Choices of the chain space by stage and block, with and without elastic weights."""

from __future__ import annotations

from typing import NamedTuple

from nasforge.arch import Arch, Choice
from nasforge_plugins.spaces.chain.config import ChainConfig

__all__ = ["SKIP", "StageChoices", "choices_of_stages", "option_names", "range_of_depth"]

SKIP = "skip"
"""The option that leaves a block out."""


def option_names(config: ChainConfig) -> tuple[str, ...]:
    """Return the names of the convolutional options, in the order of the published indices."""
    return tuple(f"k{k}e{e}" for k in config.kernels for e in config.expansions)


def range_of_depth(config: ChainConfig, depth: int) -> tuple[int, int]:
    """Return the smallest and the largest number of blocks of a stage.

    Args:
        config: The options of the space.
        depth: Of the stage, in ``depths``.
    """
    return (min(config.min_depth, depth) if config.variable_depth else depth), depth


class StageChoices(NamedTuple):
    """The choices of one stage.

    Attributes:
        depth: The elastic number of blocks; None if there is one number, or blocks are skipped instead.
        blocks: The choices of every block: its operation, or kernel and expansion if they are elastic.
    """

    depth: Choice | None
    blocks: tuple[tuple[Choice, ...], ...]

    def flat(self) -> tuple[Choice, ...]:
        """Return all choices, the depth first."""
        first = () if self.depth is None else (self.depth,)
        return first + tuple(choice for block in self.blocks for choice in block)

    def read(self, arch: Arch) -> list[str]:
        """Return the option names of the blocks that an architecture has."""
        blocks = self.blocks if self.depth is None else self.blocks[: int(arch[self.depth.name][0])]
        if len(self.blocks[0]) == 1:
            return [arch[choice.name][0] for (choice,) in blocks if arch[choice.name] != (SKIP,)]
        return [f"k{arch[kernel.name][0]}e{arch[expansion.name][0]}" for kernel, expansion in blocks]

    def write(self, options: list[str]) -> dict[str, str]:
        """Return the answers of a stage whose blocks have these options; blocks beyond them are left out.

        Args:
            options: Option names of the blocks, as `read` returns them.
        """
        answers = {} if self.depth is None else {self.depth.name: str(len(options))}
        for number, block in enumerate(self.blocks):
            if len(block) == 1:
                answers[block[0].name] = options[number] if number < len(options) else SKIP
                continue
            kernel, expansion = block
            found = options[number][1:].split("e") if number < len(options) else None
            answers[kernel.name], answers[expansion.name] = found or (kernel.options[0], expansion.options[0])
        return answers


def choices_of_stages(config: ChainConfig) -> tuple[StageChoices, ...]:
    """Return the choices of stages 1 to 5.

    Args:
        config: The options of the space.
    """
    make = _elastic if config.elastic else _separate
    return tuple(make(config, f"stage{number}", depth) for number, depth in enumerate(config.depths, start=1))


def _separate(config: ChainConfig, stage: str, depth: int) -> StageChoices:
    options, least = option_names(config), range_of_depth(config, depth)[0]
    blocks = (Choice(f"{stage}/block{i}", options if i < least else (*options, SKIP)) for i in range(depth))
    return StageChoices(None, tuple((choice,) for choice in blocks))


def _elastic(config: ChainConfig, stage: str, depth: int) -> StageChoices:
    depths = tuple(map(str, range(range_of_depth(config, depth)[0], depth + 1)))
    blocks = tuple(
        (
            Choice(f"{stage}/block{i}/kernel", tuple(map(str, config.kernels)), elastic=True),
            Choice(f"{stage}/block{i}/expansion", tuple(map(str, config.expansions)), elastic=True),
        )
        for i in range(depth)
    )
    return StageChoices(Choice(f"{stage}/depth", depths, elastic=True) if depths[1:] else None, blocks)
