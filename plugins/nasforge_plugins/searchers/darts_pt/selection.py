"""The rules of the selection: which decisions come when, and which option a set of scores keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from random import Random
from typing import Any

from nasforge.arch import Choice
from nasforge.space import CellTypes, NetworkSpace

__all__ = ["Score", "least_missed_edges", "order_decisions", "rank_operations"]

Score = tuple[float, ...]
"""Higher is better; later numbers settle ties."""


def order_decisions(space: NetworkSpace[Any], rng: Random) -> tuple[tuple[Choice, ...], ...]:
    """Return the choices that each step decides: one per type of cell, operations before edges.

    Each type of cell has a random order of its own (ruocwang/darts-pt, sota/cnn/projection.py). A space
    without `CellTypes` has one type.

    Args:
        space: The space that is searched.
        rng: Draws the orders.
    """
    rounds: list[tuple[Choice, ...]] = []
    for kind in ("op", "edge"):
        cells: dict[str, list[Choice]] = {}
        for choice in space.choices:
            if choice.kind == kind and len(choice.options) > choice.k:
                cell = space.cell_of(choice) if isinstance(space, CellTypes) else ""
                cells.setdefault(cell, []).append(choice)
        orders = [rng.sample(choices, len(choices)) for choices in cells.values()]
        rounds += [tuple(c for c in together if c is not None) for together in zip_longest(*orders)]
    return tuple(rounds)


def rank_operations(scores: Sequence[Score]) -> list[int]:
    """Return the operations, the most needed first: those without which the supernet scores lowest.

    Args:
        scores: Of the supernet without each operation. Equal ones rank by position.
    """
    return sorted(range(len(scores)), key=lambda i: (scores[i], i))


def least_missed_edges(
    count: int, keep: int, score: Callable[[Sequence[int]], Score], *, restart: bool, last_first: bool
) -> list[int]:
    """Return the edges that a node loses, one by one, always that without which the supernet scores highest.

    Args:
        count: Edges of the node.
        keep: How many stay.
        score: Of the supernet without some of the node's edges.
        restart: Score every edge with all others present, those already removed included.
        last_first: Of edges that score the same, remove the last one instead of the first.
    """
    gone: list[int] = []
    while count - len(gone) > keep:
        scores = {i: score([i] if restart else [*gone, i]) for i in range(count) if i not in gone}
        gone.append(max(scores, key=lambda i: (scores[i], i if last_first else -i)))
    return gone
