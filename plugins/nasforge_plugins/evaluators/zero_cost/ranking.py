"""A score from several proxies: the mean place among architectures that stay the same."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

__all__ = ["mean_place", "place"]


def place(value: float, others: Sequence[float]) -> float:
    """Return the share of ``others`` below a value; equal ones count half.

    Beyond the highest and lowest it continues in proportion to the range of ``others``, so that a search
    still tells apart architectures that beat them all.

    Args:
        value: A proxy's value.
        others: Its values for the architectures to compare with, in any order.
    """
    ranked = sorted(others)
    low, high, count = ranked[0], ranked[-1], len(ranked)
    if value > high > low:
        return 1.0 + (value - high) / (high - low) / count
    if value < low < high:
        return (value - low) / (high - low) / count
    return (bisect_left(ranked, value) + bisect_right(ranked, value)) / (2 * count)


def mean_place(values: Mapping[str, float], others: Sequence[Mapping[str, float]]) -> float:
    """Return the mean of `place` over all proxies.

    Args:
        values: Of one architecture, by proxy.
        others: Of each architecture to compare with, by proxy.
    """
    return sum(place(v, [other[name] for other in others]) for name, v in values.items()) / len(values)
