"""Paired comparison of two methods by seed, with a confidence interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

__all__ = ["CONFIDENCE", "Difference", "difference"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """Difference between two methods over their common seeds.

    Attributes:
        pairs: Number of common seeds.
        mean: Mean difference; positive where the first is higher.
        low: Lower end of the confidence interval of the mean; None for fewer than two pairs.
        high: Its upper end.
        better: Number of seeds on which the first is higher.
        worse: Number of seeds on which it is lower.
    """

    pairs: int
    mean: float
    low: float | None
    high: float | None
    better: int
    worse: int

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Compare two methods that ran with the same seeds.

    The interval is that of Student's t distribution for the mean of the differences per seed: the mean plus
    and minus ``t(n - 1) * s / sqrt(n)``, ``s`` being their standard deviation.

    Args:
        ours: Scores by seed.
        theirs: Scores of the other method by seed.

    Returns:
        None if they have no seed in common.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    each = [ours[seed] - theirs[seed] for seed in seeds]
    mean, low, high = fmean(each), None, None
    if len(each) > 1:
        from scipy.stats import t

        half = float(t.ppf((1 + CONFIDENCE) / 2, len(each) - 1)) * stdev(each) / math.sqrt(len(each))
        low, high = mean - half, mean + half
    return Difference(len(each), mean, low, high, sum(d > 0 for d in each), sum(d < 0 for d in each))
