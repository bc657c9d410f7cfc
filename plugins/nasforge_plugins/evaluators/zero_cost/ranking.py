"""Scores from several proxies: places and ranks among architectures that stay the same."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

__all__ = ["log_rank", "mean_place", "place"]


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


def log_rank(values: Mapping[str, float], others: Sequence[Mapping[str, float]]) -> float:
    """Return the sum over all proxies of ``ln(rank / count)``, at most 0 (AZ-NAS, Lee and Ham, CVPR 2024).

    Ranks are from 1 for the lowest among the architecture and those to compare with; equal values share the
    mean of their ranks. One low rank costs more than several high ones bring in. The published search ranks
    among all architectures that it has met, so its scores change during the search.

    Args:
        values: Of one architecture, by proxy.
        others: Of each architecture to compare with, by proxy.
    """
    total, count = 0.0, len(others) + 1
    for name, value in values.items():
        ranked = sorted(other[name] for other in others)
        rank = 1.0 + (bisect_left(ranked, value) + bisect_right(ranked, value)) / 2
        total += math.log(rank / count)
    return total
