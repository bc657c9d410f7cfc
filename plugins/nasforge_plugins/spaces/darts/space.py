"""The DARTS cell space as named choices. Torch is imported only to build networks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Self

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph, Node
from nasforge.errors import ArchError, suggest
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.darts.cell_answers import CellAnswers
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.genotype import (
    Genotype,
    Grammar,
    check_node,
    parse_genotype,
    parse_stages,
    write_genotype,
)
from nasforge_plugins.spaces.darts.names import CELLS, NODES, edge_name, inputs_name, sources
from nasforge_plugins.spaces.darts.node_rules import RULES
from nasforge_plugins.spaces.darts.node_rules import Node as Pairs
from nasforge_plugins.spaces.darts.operation_sets import PARAMETER_FREE, edge_operations
from nasforge_plugins.spaces.darts.published import ALIASES, PUBLISHED

if TYPE_CHECKING:
    from torch import nn

    from nasforge.nn.output import Network

__all__ = ["DartsSpace"]


class DartsSpace(NetworkSpace[DartsConfig]):
    """Two cell types, each of four nodes that add operations on earlier states (DARTS, section 2.1).

    ``none`` may weigh something in a supernet, but no architecture takes it. Edges that a node does not
    choose answer ``none``, or nothing if they have no such operation.
    """

    def __init__(self, config: DartsConfig) -> None:
        super().__init__(config)
        same_width = config.search_channels == config.eval_channels
        self.tied = ("stem",) if same_width else ()
        self.operations = edge_operations(config.operations, config.allow_none is not False)
        self.parameter_free = PARAMETER_FREE & {o for options in self.operations.values() for o in options}
        self.rule = RULES[config.node_inputs or "two"](config.threshold)
        self._answers = CellAnswers(self.operations, self.rule)
        self._grammar = Grammar(self.operations, self.rule)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Per cell and node: its inputs, then the operation of each possible input."""
        return self._answers.choices

    def sample(self, rng: Random) -> Arch:
        """Draw an architecture, uniform over all of them."""
        return self._answers.write(
            Genotype(*(tuple(self.rule.draw(s, rng) for s in self._answers.sets[cell]) for cell in CELLS))
        )

    def mutate(self, arch: Arch, rng: Random) -> Arch:
        """Make one change: another operation, or the same one on another input.

        Where the number of operations may vary, also add or leave out one.

        Args:
            arch: The architecture to start from.
            rng: The only source of randomness.

        Raises:
            ArchError: No node can change.
        """
        genotype = self.genotype(arch)
        if self.config.node_inputs in (None, "two") and len(set(self.operations.values())) == 1:
            return self._exchange(genotype, rng)
        places = [(cell, node) for cell in range(len(CELLS)) for node in range(NODES)]
        for cell, node in rng.sample(places, len(places)):
            if found := list(self.rule.change(genotype[cell][node], self._answers.sets[CELLS[cell]][node])):
                return self._answers.write(_with_node(genotype, cell, node, rng.choice(found)))
        raise ArchError(f"DartsSpace: {self.notation(arch)} has no neighbour.")

    def neighbours(self, arch: Arch) -> tuple[Arch, ...]:
        """Return all results of one mutation, in a fixed order."""
        genotype = self.genotype(arch)
        found = [
            self._answers.write(_with_node(genotype, cell, node, changed))
            for cell, nodes in enumerate(genotype)
            for node, pairs in enumerate(nodes)
            for changed in self.rule.change(pairs, self._answers.sets[CELLS[cell]][node])
        ]
        return tuple(dict.fromkeys(found))

    def enumerate(self) -> Iterator[Arch]:
        """Yield every architecture once, in a fixed order; the last node of ``reduce`` changes fastest."""
        places = [sets for cell in CELLS for sets in self._answers.sets[cell]]

        def walk(done: tuple[Pairs, ...]) -> Iterator[tuple[Pairs, ...]]:
            if len(done) == len(places):
                yield done
                return
            for node in self.rule.enumerate(places[len(done)]):
                yield from walk((*done, node))

        for nodes in walk(()):
            yield self._answers.write(Genotype(nodes[:NODES], nodes[NODES:]))

    def validate(self, arch: Arch) -> None:
        """Check that ``arch`` answers every choice, and that every node adds as many operations as it may.

        Raises:
            ArchError: It does not; says which answer.
        """
        super().validate(arch)
        absent = [
            name
            for cell in CELLS
            for node in range(NODES)
            for source in arch[inputs_name(cell, node)]
            if "none" in arch[name := edge_name(cell, node, source)] or not arch[name]
        ]
        if absent:
            raise ArchError(
                f"architecture does not fit DartsSpace: chosen inputs have the operation 'none': "
                f"{', '.join(absent)}. Choose another operation, or another input."
            )
        for cell, nodes in zip(CELLS, self.genotype(arch), strict=True):
            for node, pairs in enumerate(nodes):
                check_node(f"architecture, {cell} cell", node, pairs, self.rule)

    def canonical(self, arch: Arch) -> Arch:
        """Reset the operations of edges that no node takes: they mean nothing."""
        picks = dict(arch)
        for cell in CELLS:
            for node in range(NODES):
                for source in set(sources(node)).difference(arch[inputs_name(cell, node)]):
                    name = edge_name(cell, node, source)
                    picks[name] = self._answers.unused_answer(name)
        return Arch(picks)

    def discretize(self, weights: Mapping[str, Sequence[float]]) -> Arch:
        """Read the nodes from option weights by the rule of the option `node_inputs`; never take ``none``.

        The weight of an input is that of its edge, if edges are weighted, times that of the operation
        (DARTS, section 2.4; CDARTS with edge weights). The heavier comes first, ties go to the earlier.

        Args:
            weights: One number per option, by choice name. A choice left out counts as uniform.
        """
        return self._answers.write(self._answers.take(weights))

    def size(self) -> int:
        """Return the number of architectures; for DARTS about 1.08e18."""
        return math.prod(self.rule.count(sets) for cell in CELLS for sets in self._answers.sets[cell])

    def parse(self, text: str) -> Arch:
        """Read a published name, genotype text (DARTS, CDARTS, FairDARTS), a CDARTS stage file, or JSON.

        Raises:
            ArchError: Says which character, pair or name is wrong.
        """
        text = text.strip()
        if text.startswith("{"):
            return self._parse_json(text)
        if "(" in text:
            return self._answers.write(parse_genotype(text, self._grammar))
        names = {name.lower(): name for name in (*PUBLISHED, *ALIASES)}
        name = names.get(text.lower())
        if name is None:
            raise ArchError(f"no published genotype {text!r}.{suggest(text, names.values())}")
        return self.parse(write_genotype(PUBLISHED[ALIASES.get(name, name)]))

    def notation(self, arch: Arch) -> str:
        """Write the genotype in the flat form of DARTS, or with the node of each operation as FairDARTS."""
        return write_genotype(self.genotype(arch))

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return both cells: inputs ``in0``, ``in1`` (the cells before), and nodes from 0 to 3.

        A node that adds nothing has the operation ``none``.
        """
        names = ("in0", "in1", *map(str, range(NODES)))
        out = Node("out", tuple(("", name) for name in names[2:]), "concat")
        found = []
        for cell, nodes in zip(CELLS, self.genotype(arch), strict=True):
            inputs = [tuple((o, names[i]) for o, i in pairs) or (("none", names[0]),) for pairs in nodes]
            drawn = (Node(names[n + 2], pairs) for n, pairs in enumerate(inputs))
            found.append(Graph(f"{cell} cell", names[:2], (*drawn, out)))
        return tuple(found)

    def genotype(self, arch: Arch) -> Genotype:
        """Return the two cells as pairs of operation and input by node, in the order of the answers."""
        return self._answers.read(arch)

    def paths(self, arch: Arch) -> tuple[str, ...]:
        """Return the operations along every path through a cell, from one of its inputs to its output.

        A path names cell and input; it may end at every node, because the output joins them all.
        """
        found: list[str] = []
        for cell, nodes in zip(CELLS, self.genotype(arch), strict=True):
            states = [[f"{cell}/in0"], [f"{cell}/in1"]]
            for pairs in nodes:
                states.append([f"{path}>{operation}" for operation, i in pairs for path in states[i]])
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
            return self._answers.write(parse_stages(text, self._grammar))
        return super().parse(text)

    def _exchange(self, genotype: Genotype, rng: Random) -> Arch:
        """Change one operation, or move it to another input of its node, with equal chances."""
        place = rng.choice(range(len(CELLS)))
        index = rng.randrange(2 * NODES)
        pairs = genotype[place][index // 2]
        operation, source = pairs[index % 2]
        operations = self._answers.sets[CELLS[place]][index // 2][source]
        free = [i for i in range(index // 2 + 2) if i not in {i for _, i in pairs}]
        others = [o for o in operations if o != operation]
        if free and (not others or rng.random() < 0.5):
            changed = (operation, rng.choice(free))
        else:
            changed = (rng.choice(others), source)
        node = [changed if i == index % 2 else pair for i, pair in enumerate(pairs)]
        return self._answers.write(_with_node(genotype, place, index // 2, tuple(node)))


def _with_node(genotype: Genotype, cell: int, node: int, pairs: Pairs) -> Genotype:
    cells = [list(nodes) for nodes in genotype]
    cells[cell][node] = pairs
    return Genotype(*map(tuple, cells))
