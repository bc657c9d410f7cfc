"""The NAS-Bench-201 space: 15,625 cells on one skeleton."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from nasforge.arch import Arch, Choice
from nasforge.drawing import Graph, Node
from nasforge.errors import ArchError, suggest
from nasforge.space import NetworkSpace, Scale, Task
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.cost import network_cost
from nasforge_plugins.spaces.nasbench201.equivalence import function_key
from nasforge_plugins.spaces.nasbench201.notation import (
    CHOICES,
    EDGES,
    EXAMPLE,
    NAMED,
    OPERATIONS,
    format_cell,
    parse_cell,
    parse_code,
)

if TYPE_CHECKING:
    from nasforge.nn.output import Network
    from nasforge_plugins.evaluators.tabular.table import Table

__all__ = ["NasBench201"]

PATH_OPERATIONS = ("avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3", "none", "skip_connect")
"""The operations in the order of BANANAS' path encoding."""

_DIGITS: dict[tuple[str, ...], str] = {(name,): str(digit) for digit, name in enumerate(OPERATIONS)}


class NasBench201(NetworkSpace[NasBench201Config]):
    """One cell of four nodes and six edges, repeated on a residual skeleton (Dong and Yang, ICLR 2020).

    Cells that compute the same function stay different architectures, so `canonical` changes nothing: the
    benchmark trained each of the 15,625 by itself, their measured accuracies differ, and a draw must be
    uniform over its rows. `equivalent` and `function_key` tell which are the same.
    """

    parameter_free = frozenset({"skip_connect", "avg_pool_3x3"})

    table_space = "nasbench201"
    """Tables of this space carry this name; see `nasforge_plugins.evaluators.tabular`."""

    def __init__(self, config: NasBench201Config) -> None:
        super().__init__(config)
        # Networks of unequal width cannot share their first layers.
        self.tied = ("stem",) if config.search_channels == config.eval_channels else ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The operation of each edge, in the benchmark's order of edges and operations."""
        return CHOICES

    def operations(self, arch: Arch) -> tuple[str, ...]:
        """Return the six operations of ``arch`` in the order of the benchmark's string."""
        return tuple(arch[choice.name][0] for choice in CHOICES)

    def arch(self, operations: Sequence[str]) -> Arch:
        """Return the architecture of six operations in the order of the benchmark's string."""
        return Arch({choice.name: name for choice, name in zip(CHOICES, operations, strict=True)})

    def parse(self, text: str) -> Arch:
        """Read a cell string, a six-digit code, an official index (``"#6111"``), a known name, or JSON.

        Raises:
            ArchError: Names the character that is wrong.
        """
        text = text.strip()
        if text.startswith("{"):
            return super().parse(text)
        if text.startswith("|") or "~" in text:
            return self.arch(parse_cell(text))
        if text in NAMED:
            return self.arch(parse_cell(NAMED[text]))
        if text.startswith("#"):
            return self.arch(parse_code(self._table.key(self._index(text))))
        if text.isdecimal() and len(text) == len(CHOICES):
            return self.arch(parse_code(text))
        hint = f" For an official index write '#{text}'." if text.isdecimal() else suggest(text, NAMED)
        raise ArchError(f"{text!r} is not a NAS-Bench-201 cell. A cell reads {EXAMPLE!r}.{hint}")

    def notation(self, arch: Arch) -> str:
        """Write the benchmark's string ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
        return format_cell(self.operations(arch))

    def discretize(self, weights: Mapping[str, Sequence[float]]) -> Arch:
        """Take the heaviest operation of every edge; without ``none`` if the option `allow_none` is false.

        Args:
            weights: One number per operation, by edge. An edge left out counts as uniform.
        """
        if self.config.allow_none:
            return super().discretize(weights)
        lowest = float("-inf")
        return super().discretize(
            {c.name: [lowest, *weights.get(c.name, [1.0] * len(OPERATIONS))[1:]] for c in CHOICES}
        )

    def graphs(self, arch: Arch) -> tuple[Graph, ...]:
        """Return the cell without its ``none`` edges; a node that has no other keeps one."""
        inputs: dict[int, list[tuple[str, str]]] = {}
        for (node, source), operation in zip(EDGES, self.operations(arch), strict=True):
            inputs.setdefault(node, []).append((operation, f"{source}"))
        some = {node: [pair for pair in pairs if pair[0] != "none"] for node, pairs in inputs.items()}
        nodes = (Node(f"{node}", tuple(some[node] or pairs[:1])) for node, pairs in inputs.items())
        return (Graph("NAS-Bench-201 cell", ("0",), tuple(nodes)),)

    def function_key(self, arch: Arch) -> str:
        """Return a text that is equal for architectures which compute the same function (4,930 classes)."""
        return function_key(self.operations(arch))

    def equivalent(self, first: Arch, second: Arch) -> bool:
        """Return whether two architectures compute the same function."""
        return self.function_key(first) == self.function_key(second)

    def paths(self, arch: Arch) -> tuple[str, ...]:
        """Return the operations along every path from the cell's input to its output: ``"op>op>op"``.

        A path with ``none`` on it lets nothing through and is left out. Which nodes it passes does not count
        (White et al., "BANANAS", AAAI 2021, section 4).
        """
        found: dict[int, tuple[str, ...]] = {0: ("",)}
        for (node, source), operation in zip(EDGES, self.operations(arch), strict=True):
            if operation != "none":
                longer = tuple(f"{path}>{operation}" for path in found.get(source, ()))
                found[node] = (*found.get(node, ()), *longer)
        return tuple(dict.fromkeys(path[1:] for path in found.get(EDGES[-1][0], ())))

    def path_indices(self, arch: Arch) -> tuple[int, ...]:
        """Return the positions of the four paths in the path encoding of BANANAS, which has 155 of them.

        A path with ``none`` counts too: 5 paths have one operation, 25 have two and 125 have three. Within a
        length the first operation varies fastest (naszilla/bananas, nas_bench_201/cell.py).
        """
        digits = [PATH_OPERATIONS.index(operation) for operation in self.operations(arch)]
        edges = dict(zip(EDGES, digits, strict=True))
        found = []
        for nodes in ((0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)):
            path = [edges[node, source] for source, node in pairwise(nodes)]
            shorter = sum(5**length for length in range(1, len(path)))
            found.append(shorter + sum(digit * 5**place for place, digit in enumerate(path)))
        return tuple(found)

    def neighbours(self, arch: Arch) -> tuple[Arch, ...]:
        """Return the 24 architectures that differ from ``arch`` in one edge."""
        return tuple(
            Arch({**arch, choice.name: option})
            for choice in CHOICES
            for option in choice.options
            if option not in arch[choice.name]
        )

    def enumerate(self) -> Iterator[Arch]:
        """Yield all 15,625 architectures; the position is the official index."""
        for row in range(len(self._table)):
            yield self.arch(parse_code(self._table.key(row)))

    def cost(self, arch: Arch, task: Task) -> dict[str, int]:
        """Return ``params`` and ``macs`` of the final network, added up by operation."""
        return network_cost(self.operations(arch), task, self.config.channels, self.config.cells)

    def table_key(self, arch: Arch) -> str:
        """Return the six-digit code under which tables list ``arch``.

        Raises:
            ArchError: ``arch`` does not belong to this space.
        """
        try:
            digits = [_DIGITS[arch[choice.name]] for choice in CHOICES]
        except KeyError:
            digits = []
        if len(digits) != len(arch):
            self.validate(arch)
        return "".join(digits)

    def lookup(self, arch: Arch, *, test: bool = False) -> dict[str, float]:
        """Return what the table of the option `table` knows about ``arch``: never used during a search.

        Args:
            arch: An architecture of this space.
            test: Also return test accuracies, if the table has any; for the test stage.

        Returns:
            ``index``, ``architectures``, and per data set ``<data set>_valid_accuracy`` in percent and
            ``<data set>_valid_rank`` (1 is the best), for the longest training in the table.
        """
        return self._table.describe(self.table_key(arch), test=test)

    def with_partial_channels(self, share: int) -> Self:
        """Return this space with search networks whose options see one channel in ``share`` (PC-DARTS)."""
        return self.with_options(partial_channels=share)

    def with_plain_networks(self) -> Self:
        """Return this space with networks that call every layer as a module."""
        return self.with_options(execution="reference")

    def build(self, task: Task, arch: Arch | None = None, scale: Scale = "final") -> Network:
        """Build a network on the benchmark's skeleton; see `NetworkSpace.build`."""
        if arch is not None:
            self.validate(arch)
        return self._network(task, arch, scale)

    def build_reduced(self, task: Task, kept: Mapping[str, Sequence[str]]) -> Network:
        """Build the search network with only the kept options; see `ReducedNetworks`."""
        options = Arch({choice.name: kept.get(choice.name, choice.options) for choice in CHOICES})
        return self._network(task, options, "search")

    def _network(self, task: Task, options: Arch | None, scale: Scale) -> Network:
        from nasforge_plugins.spaces.nasbench201.network import NasBench201Network

        config = self.config
        share = config.partial_channels if scale == "search" else 1
        channels, cells = {
            "search": (config.search_channels, config.search_cells),
            "eval": (config.eval_channels, config.eval_cells),
            "final": (config.channels, config.cells),
        }[scale]
        return NasBench201Network(
            task,
            options,
            channels=channels,
            cells=cells,
            affine=scale != "search",
            final_norm=scale == "final" or config.skeleton == "benchmark",
            fast=config.execution == "fast" and share == 1,
            share=share,
            cut=config.cut_none,
        )

    @cached_property
    def _table(self) -> Table:
        from nasforge_plugins.evaluators.tabular.store import load

        return load(self.config.table, self.table_space)

    def _index(self, text: str) -> int:
        digits = text.removeprefix("#")
        if not digits.isdecimal() or int(digits) >= len(self._table):
            raise ArchError(f"{text!r}: an official index is a number from 0 to {len(self._table) - 1}.")
        return int(digits)
