"""How many operations a node adds, and how they are read from option weights."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

__all__ = ["RULES", "Node", "NodeRule", "Pair", "Weighted"]

Pair = tuple[str, int]
"""An operation, and the position of the state that it reads."""

Node = tuple[Pair, ...]
"""The operations that a node adds."""

Sets = Sequence[tuple[str, ...]]
"""By source of a node: the operations that an architecture may choose for its edge."""


class Weighted(NamedTuple):
    """An operation of an edge under option weights.

    Attributes:
        weight: Of the operation.
        edge: Weight of the edge; 1 if edges have none.
        pair: The operation and its source.
    """

    weight: float
    edge: float
    pair: Pair


class NodeRule(ABC):
    """The nodes of a space: which there are, and which one option weights stand for.

    Args:
        threshold: Smallest weight of an operation that is kept, for the rules that have a threshold.
    """

    repeats: int = 1
    """The largest number of operations on one edge."""

    rule: str
    """Inputs of a node, in words."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def allows(self, node: Node) -> bool:
        """Return whether a node of different pairs has as many as the rule says."""
        return max(Counter(i for _, i in node).values(), default=0) <= self.repeats

    def count_inputs(self, states: int) -> tuple[int, int]:
        """Return how many of so many states a node reads at most, and how many of those it may leave out."""
        return 2, 0

    @abstractmethod
    def count(self, sets: Sets) -> int:
        """Return the number of nodes."""

    @abstractmethod
    def enumerate(self, sets: Sets) -> Iterator[Node]:
        """Yield every node once, in a fixed order."""

    @abstractmethod
    def draw(self, sets: Sets, rng: Random) -> Node:
        """Draw a node, uniform over all of them."""

    @abstractmethod
    def take(self, edges: Sequence[Sequence[Weighted]]) -> Node:
        """Return the node that option weights stand for; the heavier come first, ties go to the earlier.

        Args:
            edges: By source, its operations in their order, without ``none``.
        """

    def change(self, node: Node, sets: Sets) -> Iterator[Node]:
        """Yield every result of one mutation: exchange an operation or its input, leave one out, add one."""
        for index, (operation, source) in enumerate(node):
            others = [(o, source) for o in sets[source] if o != operation]
            moved = [(operation, i) for i, s in enumerate(sets) if i != source and operation in s]
            for pair in (*others, *moved):
                yield from self._allowed((*node[:index], pair, *node[index + 1 :]))
        for index in range(len(node)):
            yield from self._allowed((*node[:index], *node[index + 1 :]))
        for pair in _pairs(sets):
            yield from self._allowed((*node, pair))

    def _allowed(self, node: Node) -> Iterator[Node]:
        if len(set(node)) == len(node) and self.allows(node):
            yield node


class TwoInputs(NodeRule):
    """Two different inputs with one operation each (DARTS, section 2.4).

    Taken are the inputs whose heaviest operation weighs most. The weight of an input is that of its edge, if
    edges are weighted, times that of the operation.
    """

    rule = "two different inputs with one operation each"

    def allows(self, node: Node) -> bool:
        return len(node) == 2 and super().allows(node)

    def count(self, sets: Sets) -> int:
        return sum(len(a) * len(b) for a, b in itertools.combinations(sets, 2))

    def enumerate(self, sets: Sets) -> Iterator[Node]:
        for i, j in itertools.combinations(range(len(sets)), 2):
            for first, second in itertools.product(sets[i], sets[j]):
                yield (first, i), (second, j)

    def draw(self, sets: Sets, rng: Random) -> Node:
        if len(set(map(len, sets))) == 1:
            return tuple((rng.choice(sets[i]), i) for i in sorted(rng.sample(range(len(sets)), 2)))
        couples = list(itertools.combinations(range(len(sets)), 2))
        (couple,) = rng.choices(couples, [len(sets[i]) * len(sets[j]) for i, j in couples])
        return tuple((rng.choice(sets[i]), i) for i in couple)

    def take(self, edges: Sequence[Sequence[Weighted]]) -> Node:
        return tuple(best.pair for best in self.take_best(edges))

    def take_best(self, edges: Sequence[Sequence[Weighted]]) -> list[Weighted]:
        best = [max(edge, key=lambda w: w.weight) for edge in edges]
        return sorted(best, key=lambda w: -(w.edge * w.weight))[:2]


class ThresholdInputs(TwoInputs):
    """Of the two inputs of DARTS those whose operation weighs enough: 0 to 2.

    The rule of the published FairDARTS (xiaomi-automl/FairDARTS, fairdarts/utils.py, parse_method
    "threshold_sparse", which the search command of its README uses).
    """

    rule = "at most two different inputs with one operation each"

    def count_inputs(self, states: int) -> tuple[int, int]:
        return 2, 2

    def allows(self, node: Node) -> bool:
        return len(node) <= 2 and NodeRule.allows(self, node)

    def count(self, sets: Sets) -> int:
        return 1 + sum(map(len, sets)) + super().count(sets)

    def enumerate(self, sets: Sets) -> Iterator[Node]:
        yield ()
        yield from ((pair,) for pair in _pairs(sets))
        yield from super().enumerate(sets)

    def draw(self, sets: Sets, rng: Random) -> Node:
        singles = sum(map(len, sets))
        place = rng.randrange(self.count(sets))
        if place == 0:
            return ()
        return (_pairs(sets)[place - 1],) if place <= singles else super().draw(sets, rng)

    def take(self, edges: Sequence[Sequence[Weighted]]) -> Node:
        best = self.take_best(edges)
        return tuple(w.pair for w in best if w.weight >= self.threshold and w.edge > 0.0)


class TwoPairs(NodeRule):
    """The two heaviest pairs of operation and input, which may share their input (GDAS).

    The rule of D-X-Y/AutoDL-Projects, xautodl/models/cell_searchs/search_model_gdas_nasnet.py.
    """

    repeats = 2
    rule = "two operations, on one input or on two"

    def count_inputs(self, states: int) -> tuple[int, int]:
        return 2, 1

    def allows(self, node: Node) -> bool:
        return len(node) == 2

    def count(self, sets: Sets) -> int:
        return math.comb(sum(map(len, sets)), 2)

    def enumerate(self, sets: Sets) -> Iterator[Node]:
        yield from itertools.combinations(_pairs(sets), 2)

    def draw(self, sets: Sets, rng: Random) -> Node:
        pairs = _pairs(sets)
        return tuple(pairs[i] for i in sorted(rng.sample(range(len(pairs)), 2)))

    def take(self, edges: Sequence[Sequence[Weighted]]) -> Node:
        ranked = sorted(itertools.chain(*edges), key=lambda w: -(w.edge * w.weight))
        return tuple(w.pair for w in ranked[:2])


class ThresholdPairs(NodeRule):
    """Any number of inputs, each with those of its two heaviest operations that weigh enough.

    The other rule of the published FairDARTS (parse_method "threshold_edge").
    """

    repeats = 2
    rule = "any inputs with at most two operations each"

    def count_inputs(self, states: int) -> tuple[int, int]:
        return states, states

    def count(self, sets: Sets) -> int:
        return math.prod(1 + len(s) + math.comb(len(s), 2) for s in sets)

    def enumerate(self, sets: Sets) -> Iterator[Node]:
        for answers in itertools.product(*(_subsets(s, i) for i, s in enumerate(sets))):
            yield tuple(itertools.chain(*answers))

    def draw(self, sets: Sets, rng: Random) -> Node:
        return tuple(itertools.chain(*(rng.choice(_subsets(s, i)) for i, s in enumerate(sets))))

    def take(self, edges: Sequence[Sequence[Weighted]]) -> Node:
        found: list[Pair] = []
        for edge in edges:
            heaviest = sorted(edge, key=lambda w: -w.weight)[:2]
            found += [w.pair for w in heaviest if w.weight >= self.threshold and w.edge > 0.0]
        return tuple(found)


RULES: Mapping[str, Callable[[float], NodeRule]] = {
    "two": TwoInputs,
    "pairs": TwoPairs,
    "threshold": ThresholdInputs,
    "threshold-edges": ThresholdPairs,
}
"""The values of the option ``node_inputs``."""


def _pairs(sets: Sets) -> list[Pair]:
    return [(operation, i) for i, s in enumerate(sets) for operation in s]


def _subsets(operations: Sequence[str], source: int) -> list[Node]:
    """Return all choices of at most two operations of an edge."""
    return [
        tuple((operation, source) for operation in some)
        for size in range(3)
        for some in itertools.combinations(operations, size)
    ]
