"""Differences between architectures that were trained with the same seeds: means, intervals, a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

import numpy as np
from scipy.stats import t as student

RANDOM, SEARCHED = "random", "searched"
"""Groups of architectures: the controls that all others are compared with, and results of searches."""


@dataclass(frozen=True)
class Difference:
    """A difference of means and the half width of its 95 % interval (NaN where it cannot be estimated)."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f}" + ("" if math.isnan(self.half) else f" ± {self.half:.2f}")


def noise_of(scores: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation of one training, without the effects of architecture and seed.

    `scores` has a row per architecture and a column per seed. None with a single seed.
    """
    table = np.asarray(scores, dtype=float)
    rows, columns = table.shape
    if rows < 2 or columns < 2:
        return None
    rest = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + table.mean()
    return float(math.sqrt((rest**2).sum() / ((rows - 1) * (columns - 1))))


def single(scores: Sequence[float], controls: Sequence[Sequence[float]], noise: float | None) -> Difference:
    """Compare one architecture with the mean of the controls, trained with the same seeds.

    The interval has the uncertainty of the controls' mean, and that of the trainings of this architecture.
    With one seed the latter is unknown; the spread of the controls, which contains it, takes its place.
    """
    means, seeds = [fmean(row) for row in controls], len(scores)
    difference = fmean(scores) - fmean(means)
    if len(means) < 2:
        return Difference(difference, math.nan)
    spread = variance(means)
    own = spread if noise is None else noise**2 / seeds
    error = math.sqrt(spread / len(means) + own)
    return Difference(difference, float(student.ppf(0.975, len(means) - 1)) * error)


def group(members: Sequence[Sequence[float]], controls: Sequence[Sequence[float]]) -> Difference:
    """Compare the mean of several architectures with that of the controls (Welch's interval)."""
    ours, theirs = ([fmean(row) for row in rows] for rows in (members, controls))
    difference = fmean(ours) - fmean(theirs)
    if len(ours) < 2 or len(theirs) < 2:
        return Difference(difference, math.nan)
    parts = [(variance(means) / len(means), len(means) - 1) for means in (ours, theirs)]
    error = sum(part for part, _ in parts)
    if error == 0:
        return Difference(difference, 0.0)
    freedom = error**2 / sum(part**2 / degrees for part, degrees in parts)
    return Difference(difference, float(student.ppf(0.975, freedom)) * math.sqrt(error))


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the paired table of finished trainings, with the seeds that all architectures have.

    Args:
        rows: Each with ``name``, ``group``, ``seed``, ``params``, ``macs``, ``accuracy``, ``loss`` and
            ``seconds``.
    """
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["name"], {})[row["seed"]] = row
    seeds = sorted(set.intersection(*(set(runs) for runs in found.values())))
    if not seeds:
        return "no seed has a training of every architecture yet"
    first = {name: runs[seeds[0]] for name, runs in found.items()}
    scores = {name: [runs[seed]["accuracy"] for seed in seeds] for name, runs in found.items()}
    controls = [scores[name] for name, row in first.items() if row["group"] == RANDOM]
    if not controls:
        return "no random architecture to compare with: ask for some with --random"
    noise = noise_of([*scores.values()])
    columns = [
        "Parameters",
        "MACs",
        "Test accuracy",
        "Against the random ones",
        "Better than",
        "Loss",
        "CPU s",
    ]
    lines = [f"| Architecture | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name in sorted(first, key=lambda name: (first[name]["group"] == RANDOM, -fmean(scores[name]))):
        row, runs, mean = first[name], [found[name][seed] for seed in seeds], fmean(scores[name])
        others = [other for other in controls if other is not scores[name]]
        against = "" if row["group"] == RANDOM else str(single(scores[name], controls, noise))
        beaten = f"{sum(mean > fmean(other) for other in others)} of {len(others)}"
        cost = f"{row['params'] / 1e3:,.1f} k | {row['macs'] / 1e6:,.2f} M"
        loss, seconds = fmean(run["loss"] for run in runs), fmean(run["seconds"] for run in runs)
        lines.append(f"| {name} | {cost} | {mean:.2f} | {against} | {beaten} | {loss:.3f} | {seconds:.0f} |")
    lines.append(_summary("random, mean", [n for n in first if first[n]["group"] == RANDOM], first, scores))
    if searched := [name for name in first if first[name]["group"] == SEARCHED]:
        difference = group([scores[name] for name in searched], controls)
        lines.append(_summary("searched, mean", searched, first, scores, str(difference)))
    told = "one training each" if noise is None else f"one training has a deviation of {noise:.2f}"
    total = sum(row["seconds"] for row in rows)
    return "\n".join(
        [*lines, "", f"Seeds of trainings: {seeds}; {told}. {total / 60:.0f} CPU minutes in all."]
    )


def _summary(
    title: str,
    names: Sequence[str],
    first: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, Sequence[float]],
    against: str = "",
) -> str:
    means = [fmean(scores[name]) for name in names]
    params, macs = (fmean(first[name][cost] for name in names) for cost in ("params", "macs"))
    spread = f" (sd {math.sqrt(variance(means)):.2f})" if len(means) > 1 else ""
    cost = f"{params / 1e3:,.1f} k | {macs / 1e6:,.2f} M"
    return f"| **{title} of {len(names)}** | {cost} | {fmean(means):.2f}{spread} | {against} | | | |"
