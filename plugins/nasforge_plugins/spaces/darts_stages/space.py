"""The DARTS cell space with choices of their own for each of the three stages."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Self

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph
from nasforge.errors import ArchError
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.darts_stages.config import DartsStagesConfig
from nasforge_plugins.spaces.darts_stages.stage_names import STAGES, of_stage, stage_name

if TYPE_CHECKING:
    from torch import nn

    from nasforge.nn.output import Network

__all__ = ["DartsStages"]


class DartsStages(NetworkSpace[DartsStagesConfig]):
    """Three stages, each with a normal cell, the first two with a reduction cell at their end (CDARTS).

    Rules and notations are those of the `darts` space, stage by stage.
    """

    def __init__(self, config: DartsStagesConfig) -> None:
        super().__init__(config)
        self.cell_space = DartsSpace(config)
        self.tied = self.cell_space.tied
        self.parameter_free = self.cell_space.parameter_free

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Per stage the choices of its cells."""
        return tuple(
            Choice(stage_name(stage, c.name), c.options, k=c.k, kind=c.kind)
            for stage in STAGES
            for c in self.cell_space.choices
            if _belongs(stage, c.name)
        )

    def first_stage_name(self, name: str) -> str:
        """Return the name that a choice has in the first stage."""
        return stage_name(0, name.partition("/")[2])

    def sample(self, rng: Random) -> Arch:
        """Draw an architecture, each stage for itself."""
        return self._join([self.cell_space.sample(rng) for _ in STAGES])

    def mutate(self, arch: Arch, rng: Random) -> Arch:
        """Change one stage as `darts` changes an architecture.

        Args:
            arch: The architecture to start from.
            rng: The only source of randomness.
        """
        while True:  # the third stage has no reduction cell, so that some changes of it change nothing
            stages = self.split(arch)
            stage = rng.randrange(len(STAGES))
            stages[stage] = self.cell_space.mutate(stages[stage], rng)
            if (changed := self._join(stages)) != arch:
                return changed

    def neighbours(self, arch: Arch) -> tuple[Arch, ...]:
        """Return all results of one mutation."""
        stages = self.split(arch)
        found = {
            self._join([*stages[:stage], other, *stages[stage + 1 :]]): None
            for stage in STAGES
            for other in self.cell_space.neighbours(stages[stage])
        }
        return tuple(one for one in found if one != arch)

    def enumerate(self) -> Iterator[Arch]:
        """Yield every architecture once, in a fixed order; the cell of the third stage changes fastest."""
        inner = self.cell_space
        for first in inner.enumerate():
            for second in inner.enumerate():
                # The reduction cell changes fastest there: as long as the normal cell is the first.
                for cells in islice(inner.enumerate(), math.isqrt(inner.size())):
                    own = {
                        name.replace("reduce/", "normal/", 1): answer
                        for name, answer in cells.items()
                        if name.startswith("reduce/")
                    }
                    yield self._join([first, second, Arch({**cells, **own})])

    def validate(self, arch: Arch) -> None:
        """Check that ``arch`` answers every choice, and each stage as `darts` demands.

        Raises:
            ArchError: It does not; says which answer.
        """
        super().validate(arch)
        for stage, one in zip(STAGES, self.split(arch), strict=True):
            with _naming(stage):
                self.cell_space.validate(one)

    def canonical(self, arch: Arch) -> Arch:
        """Reset what means nothing, stage by stage."""
        return self._join([self.cell_space.canonical(one) for one in self.split(arch)])

    def discretize(self, weights: Mapping[str, Sequence[float]]) -> Arch:
        """Derive each stage from its own weights, by the rule of `darts`.

        Args:
            weights: One number per option, by choice name. A choice left out counts as uniform.
        """
        return self._join([self.cell_space.discretize(of_stage(weights, stage)) for stage in STAGES])

    def size(self) -> int:
        """Return the number of architectures: of five cells."""
        cells = self.cell_space.size()
        return cells**2 * math.isqrt(cells)

    def parse(self, text: str) -> Arch:
        """Read a CDARTS stage file, what `darts` reads (for all stages alike), or choices as JSON.

        Raises:
            ArchError: Says which stage, and what is wrong in it.
        """
        text = text.strip()
        if not text.startswith("{"):
            return self._join([self.cell_space.parse(text)] * len(STAGES))
        try:
            data = json.loads(text)
        except json.JSONDecodeError:
            return super().parse(text)  # words the error
        if not data or not all(str(key).isdecimal() for key in data):
            return super().parse(text)
        if sorted(data) != [str(stage) for stage in STAGES]:
            raise ArchError(
                f"stage file: the stages are {', '.join(map(repr, data))}. Write genotypes of '0', '1', '2'."
            )
        stages = []
        for stage in STAGES:
            with _naming(stage):
                stages.append(self.cell_space.parse(str(data[str(stage)])))
        return self._join(stages)

    def notation(self, arch: Arch) -> str:
        """Write the stage file of CDARTS; its third genotype has a reduction cell that means nothing."""
        stages = self.split(arch)
        return json.dumps(
            {str(s): self.cell_space.notation(one) for s, one in zip(STAGES, stages, strict=True)}
        )

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return the cells of all stages."""
        return tuple(
            replace(graph, title=f"stage {stage + 1}, {graph.title}")
            for stage, one in zip(STAGES, self.split(arch), strict=True)
            for graph in self.cell_space.graphs(one)[: 1 if stage == STAGES[-1] else None]
        )

    def split(self, arch: Arch) -> list[Arch]:
        """Return an architecture of `darts` per stage; the third gets a reduction cell to be complete."""
        spare = {n: a for n, a in self.cell_space.discretize({}).items() if n.startswith("reduce/")}
        return [Arch({**spare, **of_stage(arch, stage)}) for stage in STAGES]

    def with_partial_channels(self, share: int) -> Self:
        """Return this space with search networks whose options see one channel in ``share`` (PC-DARTS)."""
        return self.with_options(partial_channels=share)

    def with_plain_networks(self) -> Self:
        """Return this space with networks that call every layer as a module."""
        return self.with_options(execution="reference")

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build a network or, without an architecture, the supernet; see `NetworkSpace.build`."""
        from nasforge_plugins.spaces.darts_stages.network import StagedNetwork

        if arch is not None:
            self.validate(arch)
        archs = None if arch is None else self.split(arch)
        return StagedNetwork(self.config, self.cell_space.choices, task, archs, scale)

    def build_auxiliary(self, task: Task) -> tuple[nn.Module, int]:
        """Build the auxiliary classifier of the final network; see `NetworkSpace.build_auxiliary`."""
        return self.cell_space.build_auxiliary(task)

    def _join(self, stages: Sequence[Arch]) -> Arch:
        return Arch(
            {
                stage_name(stage, name): answer
                for stage, one in zip(STAGES, stages, strict=True)
                for name, answer in one.items()
                if _belongs(stage, name)
            }
        )


def _belongs(stage: int, name: str) -> bool:
    """Return whether a choice of `darts` exists in a stage: the third has no reduction cell."""
    return stage != STAGES[-1] or not name.startswith("reduce/")


@contextmanager
def _naming(stage: int) -> Iterator[None]:
    """Name the stage in errors."""
    try:
        yield
    except ArchError as error:
        raise ArchError(f"stage {stage}: {error}") from None
