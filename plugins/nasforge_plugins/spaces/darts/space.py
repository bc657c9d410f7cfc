"""The DARTS cell space as named choices. Torch is imported only to build networks."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Self

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph, Node
from nasforge.errors import ArchError, suggest
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.genotype import (
    Genotype,
    Pair,
    parse_genotype,
    parse_stages,
    write_genotype,
)
from nasforge_plugins.spaces.darts.names import (
    CELLS,
    KEPT,
    NODES,
    OPERATIONS,
    edge_name,
    inputs_name,
    sources,
)
from nasforge_plugins.spaces.darts.published import ALIASES, PUBLISHED

if TYPE_CHECKING:
    from torch import nn

    from nasforge.nn.output import Network

__all__ = ["DartsSpace"]


class DartsSpace(NetworkSpace[DartsConfig]):
    """Two cell types, each of four nodes that add two operations on earlier states (DARTS, section 2.1).

    ``none`` may weigh something in a supernet, but no architecture takes it: edges that a node does not
    choose answer ``none``, edges it chooses any other operation.
    """

    parameter_free = frozenset({"max_pool_3x3", "avg_pool_3x3", "skip_connect"})

    def __init__(self, config: DartsConfig) -> None:
        super().__init__(config)
        same_width = config.search_channels == config.eval_channels
        self.tied = ("stem",) if same_width else ()

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Per cell and node: its two inputs, then the operation of each possible input."""
        return tuple(
            choice
            for cell in CELLS
            for node in range(NODES)
            for choice in (
                Choice(inputs_name(cell, node), sources(node), k=2, kind="edge"),
                *(Choice(edge_name(cell, node, source), OPERATIONS) for source in sources(node)),
            )
        )

    def sample(self, rng: Random) -> Arch:
        """Draw an architecture, uniform over all of them."""
        cells = [
            [(rng.choice(KEPT), i) for node in range(NODES) for i in sorted(rng.sample(range(node + 2), 2))]
            for _ in CELLS
        ]
        return _to_arch(Genotype(*map(tuple, cells)))

    def mutate(self, arch: Arch, rng: Random) -> Arch:
        """Change one operation, or move one operation to another input of its node.

        Args:
            arch: The architecture to start from.
            rng: The only source of randomness.
        """
        genotype = self.genotype(arch)
        cells = [list(cell) for cell in genotype]
        cell = rng.choice(cells)
        index = rng.randrange(2 * NODES)
        operation, source = cell[index]
        taken = {cell[index][1], cell[index ^ 1][1]}
        free = [i for i in range(index // 2 + 2) if i not in taken]
        if free and rng.random() < 0.5:
            cell[index] = (operation, rng.choice(free))
        else:
            cell[index] = (rng.choice([o for o in KEPT if o != operation]), source)
        return _to_arch(Genotype(*map(tuple, cells)))

    def neighbours(self, arch: Arch) -> tuple[Arch, ...]:
        """Return all results of one mutation: another operation, or the same one on another free input."""
        found: dict[Arch, None] = {}
        genotype = self.genotype(arch)
        for place, cell in enumerate(genotype):
            for index, (operation, source) in enumerate(cell):
                taken = {source, cell[index ^ 1][1]}
                moved = [(operation, i) for i in range(index // 2 + 2) if i not in taken]
                for pair in [*((o, source) for o in KEPT if o != operation), *moved]:
                    cells = list(genotype)
                    cells[place] = (*cell[:index], pair, *cell[index + 1 :])
                    found[_to_arch(Genotype(*cells))] = None
        return tuple(found)

    def enumerate(self) -> Iterator[Arch]:
        """Yield every architecture once, in a fixed order; the last node of ``reduce`` changes fastest."""
        answers = [
            [
                ((first, i), (second, j))
                for i, j in itertools.combinations(range(node + 2), 2)
                for first, second in itertools.product(KEPT, repeat=2)
            ]
            for node in range(NODES)
        ]
        for nodes in itertools.product(*answers, *answers):
            pairs = tuple(itertools.chain(*nodes))
            yield _to_arch(Genotype(pairs[: 2 * NODES], pairs[2 * NODES :]))

    def validate(self, arch: Arch) -> None:
        """Check that ``arch`` answers every choice, and that no chosen input has the operation ``none``.

        Raises:
            ArchError: It does not; says which answer.
        """
        super().validate(arch)
        absent = [
            edge_name(cell, node, source)
            for cell in CELLS
            for node in range(NODES)
            for source in arch[inputs_name(cell, node)]
            if arch[edge_name(cell, node, source)] == ("none",)
        ]
        if absent:
            raise ArchError(
                f"architecture does not fit DartsSpace: chosen inputs have the operation 'none': "
                f"{', '.join(absent)}. Choose another operation, or another input."
            )

    def canonical(self, arch: Arch) -> Arch:
        """Reset the operations of edges that no node takes: they mean nothing."""
        picks = dict(arch)
        for cell in CELLS:
            for node in range(NODES):
                for source in set(sources(node)).difference(arch[inputs_name(cell, node)]):
                    picks[edge_name(cell, node, source)] = ("none",)
        return Arch(picks)

    def discretize(self, weights: Mapping[str, Sequence[float]]) -> Arch:
        """Keep, per node, the two inputs whose best operation other than ``none`` weighs most.

        The weight of an input is that of its edge, if edges are weighted, times that of the operation
        (DARTS, section 2.4; CDARTS with edge weights). The heavier input comes first, ties go to the earlier.

        Args:
            weights: One number per option, by choice name. A choice left out counts as uniform.
        """
        cells = []
        for cell in CELLS:
            pairs: list[Pair] = []
            for node in range(NODES):
                names = sources(node)
                edges = weights.get(inputs_name(cell, node), [1.0] * len(names))
                scored = []
                for i, source in enumerate(names):
                    values = weights.get(edge_name(cell, node, source), [1.0] * len(OPERATIONS))
                    best = max(range(len(KEPT)), key=values.__getitem__)
                    scored.append((edges[i] * values[best], i, KEPT[best]))
                scored.sort(key=lambda s: (-s[0], s[1]))
                pairs += [(operation, i) for _, i, operation in scored[:2]]
            cells.append(tuple(pairs))
        return _to_arch(Genotype(*cells))

    def size(self) -> int:
        """Return the number of architectures, about 1.08e18."""
        per_cell = math.prod(math.comb(node + 2, 2) * len(KEPT) ** 2 for node in range(NODES))
        return per_cell ** len(CELLS)

    def parse(self, text: str) -> Arch:
        """Read a published name, genotype text (DARTS, CDARTS), a CDARTS stage file, or choices as JSON.

        Raises:
            ArchError: Says which character, pair or name is wrong.
        """
        text = text.strip()
        if text.startswith("{"):
            return self._parse_json(text)
        if "(" in text:
            return _to_arch(parse_genotype(text, KEPT))
        names = {name.lower(): name for name in (*PUBLISHED, *ALIASES)}
        name = names.get(text.lower())
        if name is None:
            raise ArchError(f"no published genotype {text!r}.{suggest(text, names.values())}")
        return _to_arch(PUBLISHED[ALIASES.get(name, name)])

    def notation(self, arch: Arch) -> str:
        """Write the genotype in the flat form of DARTS."""
        return write_genotype(self.genotype(arch))

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return both cells: inputs ``in0``, ``in1`` (the cells before), and nodes from 0 to 3."""
        names = ("in0", "in1", *map(str, range(NODES)))
        out = Node("out", tuple(("", name) for name in names[2:]), "concat")
        found = []
        for cell, pairs in zip(CELLS, self.genotype(arch), strict=True):
            inputs = [(operation, names[i]) for operation, i in pairs]
            nodes = (Node(names[n + 2], tuple(inputs[2 * n : 2 * n + 2])) for n in range(NODES))
            found.append(Graph(f"{cell} cell", names[:2], (*nodes, out)))
        return tuple(found)

    def genotype(self, arch: Arch) -> Genotype:
        """Return the two cells as pairs of operation and input, in the order of the answers."""
        cells = []
        for cell in CELLS:
            pairs = []
            for node in range(NODES):
                for source in arch[inputs_name(cell, node)]:
                    operation = arch[edge_name(cell, node, source)][0]
                    pairs.append((operation, sources(node).index(source)))
            cells.append(tuple(pairs))
        return Genotype(*cells)

    def paths(self, arch: Arch) -> tuple[str, ...]:
        """Return the operations along every path through a cell, from one of its inputs to its output.

        A path names cell and input; it may end at every node, because the output joins them all.
        """
        found: list[str] = []
        for cell, pairs in zip(CELLS, self.genotype(arch), strict=True):
            states = [[f"{cell}/in0"], [f"{cell}/in1"]]
            for node in range(NODES):
                ends = pairs[2 * node : 2 * node + 2]
                states.append([f"{path}>{operation}" for operation, i in ends for path in states[i]])
            found += [path for node in states[2:] for path in node]
        return tuple(dict.fromkeys(found))

    def cell_of(self, choice: Choice) -> str:
        """Return ``"normal"`` or ``"reduce"``."""
        return choice.name.partition("/")[0]

    def with_partial_channels(self, share: int) -> Self:
        """Return this space with search networks whose options see one channel in ``share`` (PC-DARTS)."""
        return self.with_options(partial_channels=share)

    def with_plain_networks(self) -> Self:
        """Return this space with networks that call every layer as a module."""
        return self.with_options(execution="reference")

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build a network or, without an architecture, the supernet; see `NetworkSpace.build`."""
        from nasforge_plugins.spaces.darts.network import DartsNetwork

        if arch is not None:
            self.validate(arch)
        return DartsNetwork(self.config, self.choices, task, arch, scale)

    def build_reduced(self, task: Task, kept: Mapping[str, Sequence[str]]) -> Network:
        """Build the search network with only the kept options; see `ReducedNetworks`."""
        from nasforge_plugins.spaces.darts.network import DartsNetwork

        options = Arch({choice.name: kept.get(choice.name, choice.options) for choice in self.choices})
        return DartsNetwork(self.config, self.choices, task, options, "search")

    def build_auxiliary(self, task: Task) -> tuple[nn.Module, int]:
        """Build the auxiliary classifier for training the final network.

        Args:
            task: Input and output sizes.

        Returns:
            A module that makes logits of one feature map, and the index of that map in ``Output.features``.
        """
        from nasforge_plugins.ops.auxiliary import AuxiliaryHead
        from nasforge_plugins.spaces.darts.network import plan

        layout = plan(self.config, task, "final")
        feature = layout.features[1]
        return AuxiliaryHead(feature.channels, task.num_classes, layout.sides[1], self.config.stem), 1

    def _parse_json(self, text: str) -> Arch:
        try:
            data = json.loads(text)
        except json.JSONDecodeError:
            return super().parse(text)  # words the error
        if data and all(str(key).isdecimal() for key in data):
            return _to_arch(parse_stages(text, KEPT))
        return super().parse(text)


def _to_arch(genotype: Genotype) -> Arch:
    picks: dict[str, str | Sequence[str]] = {}
    for cell, pairs in zip(CELLS, genotype, strict=True):
        for node in range(NODES):
            names = sources(node)
            chosen = {names[i]: operation for operation, i in pairs[2 * node : 2 * node + 2]}
            picks[inputs_name(cell, node)] = tuple(chosen)
            picks |= {edge_name(cell, node, source): chosen.get(source, "none") for source in names}
    return Arch(picks)
