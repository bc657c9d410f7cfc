"""Sizes of networks that make good use of a limit: the widest and deepest that keep it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from statistics import median
from typing import Any, NamedTuple

from nasforge.arch import Arch
from nasforge.errors import ArchError
from nasforge.space import NetworkSpace, Task

__all__ = ["Sizes", "Sizing", "fit_latency", "fit_params"]

SAMPLES = 3
"""Number of random architectures whose latency is measured at each size."""

NEAR = 0.9
"""Share of a limit that is enough: other depths, the nearest first, are tried below it alone."""


class Sizes(NamedTuple):
    """Chosen sizes.

    Attributes:
        width: Value of the option for the width.
        depth: Value of the option for the depth.
        cost: Parameters of the largest network, or milliseconds of a typical one.
    """

    width: int
    depth: int
    cost: float


class Sizing(NamedTuple):
    """Sizes to choose from.

    Attributes:
        make: Makes the space of a width and a depth.
        widths: Ascending.
        depths: Ascending.
        depth: The depth of the base recipe.
        task: Input and output sizes.
    """

    make: Callable[[int, int], Any]
    widths: Sequence[int]
    depths: Sequence[int]
    depth: int
    task: Task

    def space(self, width: int, depth: int) -> NetworkSpace[Any]:
        """Return the space of a size.

        Raises:
            ArchError: It builds no networks.
        """
        made = self.make(width, depth)
        if not isinstance(made, NetworkSpace):
            raise ArchError("the space of this recipe builds no networks, so their size cannot be chosen.")
        return made


def fit_params(sizing: Sizing, max_params: float) -> Sizes | None:
    """Find the largest networks of which no architecture is above a number of parameters.

    The heaviest architecture is taken to be one that has the same operation wherever it can.

    Args:
        sizing: Sizes to choose from.
        max_params: The limit.

    Returns:
        The sizes, and the parameters of the heaviest architecture; None if even the smallest is too large.
    """
    smallest = sizing.space(sizing.widths[0], sizing.depths[0])
    names = sorted({name for c in smallest.choices if c.kind == "op" for name in c.options})
    _, heaviest = max((_params(smallest, sizing.task, name), name) for name in names)

    def params(width: int, depth: int) -> float:
        return _params(sizing.space(width, depth), sizing.task, heaviest)

    best: Sizes | None = None
    for depth in sorted(sizing.depths, key=lambda depth: (abs(depth - sizing.depth), depth)):
        sizes = _widest(params, sizing.widths, depth, max_params)
        if sizes is not None and (best is None or sizes.cost > best.cost):
            best = sizes
        if best is not None and (best.cost >= NEAR * max_params or best.width == sizing.widths[-1]):
            return best
    return best


def fit_latency(
    sizing: Sizing, max_latency_ms: float, measure: Callable[[NetworkSpace[Any], Arch], float]
) -> Sizes | None:
    """Find the widest networks of which a typical architecture keeps a latency, at the depth of the recipe.

    Where even the narrowest are too slow, shallower ones are tried. About half of all architectures keep the
    limit then, so a search has a choice and makes use of it.

    Args:
        sizing: Sizes to choose from.
        max_latency_ms: The limit.
        measure: Returns milliseconds of an architecture of a space.

    Returns:
        The sizes, and the median latency over a few random architectures; None if the smallest is too slow.
    """
    rng = Random(0)
    space = sizing.space(sizing.widths[0], sizing.depth)
    archs = [space.canonical(space.sample(rng)) for _ in range(SAMPLES)]

    def latency(width: int, depth: int) -> float:
        return median(measure(sizing.space(width, depth), arch) for arch in archs)

    for depth in sorted((d for d in sizing.depths if d <= sizing.depth), reverse=True):
        if sizes := _widest(latency, sizing.widths, depth, max_latency_ms):
            return sizes
    return None


def _widest(
    cost: Callable[[int, int], float], widths: Sequence[int], depth: int, limit: float
) -> Sizes | None:
    """Return the widest networks of a depth that cost at most so much, by bisection."""
    least = cost(widths[0], depth)
    if least > limit:
        return None
    best, low, high = Sizes(widths[0], depth, least), 1, len(widths)
    while low < high:
        middle = (low + high) // 2
        costs = cost(widths[middle], depth)
        if costs <= limit:
            best, low = Sizes(widths[middle], depth, costs), middle + 1
        else:
            high = middle
    return best


def _params(space: NetworkSpace[Any], task: Task, option: str) -> int:
    """Return the parameters of the architecture that has an option wherever it can."""
    import torch

    from nasforge.cost import count_parameters

    weights = {c.name: [float(name == option) for name in c.options] for c in space.choices}
    with torch.device("meta"):
        return count_parameters(space.build(task, space.discretize(weights)))
