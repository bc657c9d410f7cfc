"""The paired test of a race: is the best challenger better than the incumbent, or is it luck?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

__all__ = ["Verdict", "compare"]


@dataclass(frozen=True)
class Verdict:
    """The best challenger beside the incumbent.

    Attributes:
        challenger: Name of the challenger with the highest mean.
        difference: Mean of its scores minus that of the incumbent's.
        threshold: The difference above which it wins; None if one repeat gives no estimate of the noise.
        noise: Standard deviation of one score, pooled over all finalists; None for one repeat.
    """

    challenger: str
    difference: float
    threshold: float | None
    noise: float | None

    def wins(self, margin: float) -> bool:
        """Return whether the difference is above the threshold, and above a margin in any case."""
        return self.difference > max(margin, self.threshold or 0.0)

    def holds(self, margin: float) -> bool:
        """Return whether the challenger is not worse by more than the threshold, or than a margin."""
        return self.difference >= -max(margin, self.threshold or 0.0)


def compare(scores: Mapping[str, Sequence[float]], incumbent: str, confidence: float) -> Verdict:
    """Compare the best challenger with the incumbent, over repeats that share their batches.

    The model is that of a two-way layout, ``score = finalist + repeat + noise``: what a repeat does to all
    finalists, such as the order of its batches, cancels. With ``n`` finalists and ``r`` repeats, the noise
    has ``(n - 1) (r - 1)`` degrees of freedom, and a difference of two means the standard error ``noise *
    sqrt(2 / r)``. The best of several challengers is lucky on average, so the one-sided level is divided by
    their number (Bonferroni).

    Args:
        scores: Scores of each finalist by name, one per repeat and finite.
        incumbent: Name of the incumbent.
        confidence: How sure the answer must be, such as .95.
    """
    means = {name: fmean(values) for name, values in scores.items()}
    challengers = [name for name in scores if name != incumbent]
    best = max(challengers, key=means.__getitem__)
    difference = means[best] - means[incumbent]
    repeats = len(scores[incumbent])
    if repeats == 1:
        return Verdict(best, difference, None, None)
    from scipy.stats import t

    by_repeat = [fmean(values) for values in zip(*scores.values(), strict=True)]
    overall = fmean(by_repeat)
    squares = sum(
        (value - means[name] - by_repeat[repeat] + overall) ** 2
        for name, values in scores.items()
        for repeat, value in enumerate(values)
    )
    freedom = (len(scores) - 1) * (repeats - 1)
    noise = math.sqrt(squares / freedom)
    quantile = float(t.ppf(1 - (1 - confidence) / len(challengers), freedom))
    return Verdict(best, difference, quantile * noise * math.sqrt(2 / repeats), noise)
