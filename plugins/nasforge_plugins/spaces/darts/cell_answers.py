"""Genotypes as answers to choices, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from nasforge.arch import Arch, Choice
from nasforge_plugins.spaces.darts.genotype import Genotype
from nasforge_plugins.spaces.darts.names import CELLS, NODES, edge_name, inputs_name, sources
from nasforge_plugins.spaces.darts.node_rules import Node, NodeRule, Weighted
from nasforge_plugins.spaces.darts.operation_sets import kept

__all__ = ["CellAnswers"]


class CellAnswers:
    """The choices of a space, and the genotypes that their answers mean.

    Args:
        operations: Of every edge, by the name of its choice.
        rule: How many operations a node adds.
    """

    def __init__(self, operations: Mapping[str, tuple[str, ...]], rule: NodeRule) -> None:
        self.operations, self.rule = operations, rule

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Per cell and node: its inputs, then the operation of each possible input."""
        return tuple(c for cell in CELLS for node in range(NODES) for c in self._choices_of(cell, node))

    @cached_property
    def sets(self) -> Mapping[str, tuple[tuple[tuple[str, ...], ...], ...]]:
        """Per cell and node, the operations of its sources that an architecture may choose."""
        return {
            cell: tuple(
                tuple(kept(self.operations[edge_name(cell, node, source)]) for source in sources(node))
                for node in range(NODES)
            )
            for cell in CELLS
        }

    def read(self, arch: Arch) -> Genotype:
        """Return the cells that answers mean, pairs in the order of the answers."""
        cells = []
        for cell in CELLS:
            nodes = [
                tuple(
                    (operation, sources(node).index(source))
                    for source in arch[inputs_name(cell, node)]
                    for operation in arch[edge_name(cell, node, source)]
                )
                for node in range(NODES)
            ]
            cells.append(tuple(nodes))
        return Genotype(*cells)

    def write(self, genotype: Genotype) -> Arch:
        """Return the canonical answers that mean these cells."""
        picks: dict[str, Sequence[str]] = {}
        for cell, nodes in zip(CELLS, genotype, strict=True):
            for node, pairs in enumerate(nodes):
                names = sources(node)
                chosen: dict[str, list[str]] = {}
                for operation, i in pairs:
                    chosen.setdefault(names[i], []).append(operation)
                picks[inputs_name(cell, node)] = tuple(chosen)
                for source in names:
                    name = edge_name(cell, node, source)
                    picks[name] = chosen.get(source) or self.unused_answer(name)
        return Arch(picks)

    def unused_answer(self, name: str) -> tuple[str, ...]:
        """Return the answer of an edge that its node does not take: ``none``, or nothing if there is none."""
        return ("none",) if "none" in self.operations[name] else ()

    def take(self, weights: Mapping[str, Sequence[float]]) -> Genotype:
        """Return the cells that option weights stand for.

        Args:
            weights: One number per option, by choice name. A choice left out counts as uniform.
        """
        nodes = (tuple(self._take_node(c, n, weights) for n in range(NODES)) for c in CELLS)
        return Genotype(*nodes)

    def _choices_of(self, cell: str, node: int) -> Iterator[Choice]:
        names = sources(node)
        count, optional = self.rule.count_inputs(len(names))
        yield Choice(inputs_name(cell, node), names, count, "edge", optional)
        for source in names:
            name = edge_name(cell, node, source)
            operations = self.operations[name]
            most = min(self.rule.repeats, len(kept(operations)))
            yield Choice(name, operations, most, "op", most - ("none" in operations))

    def _take_node(self, cell: str, node: int, weights: Mapping[str, Sequence[float]]) -> Node:
        edges = weights.get(inputs_name(cell, node), [1.0] * (node + 2))
        found = []
        for i, source in enumerate(sources(node)):
            name = edge_name(cell, node, source)
            options = self.operations[name]
            values = weights.get(name, [1.0] * len(options))
            pairs = zip(options, values, strict=True)
            found.append([Weighted(value, edges[i], (o, i)) for o, value in pairs if o != "none"])
        return self.rule.take(found)
