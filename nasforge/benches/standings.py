"""Standings: scores of searchers side by side, and their distance from a baseline."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from nasforge.benches.paired import CONFIDENCE, Difference, difference

__all__ = [
    "NOTHING_NEW",
    "Group",
    "Standing",
    "cells",
    "describe_stalled",
    "head",
    "standings",
    "to_csv",
    "to_markdown",
]

NOTHING_NEW = "nothing new"
"""Stored of a run that ended because it proposed nothing that it had not evaluated."""


@dataclass(frozen=True)
class Group:
    """The runs of one searcher.

    Attributes:
        name: Name of the searcher.
        scores: Score of each run's result, by seed.
        evaluations: Number of evaluations of each run, by seed; empty if unknown.
        seconds: Their total cost, by seed; empty if unknown.
    """

    name: str
    scores: Mapping[int, float]
    evaluations: Mapping[int, float]
    seconds: Mapping[int, float]


@dataclass(frozen=True)
class Standing:
    """A line of the table.

    Attributes:
        name: The searcher.
        runs: Number of its runs.
        mean: Mean score of their results.
        std: Standard deviation of a run (divided by n - 1); None for one run.
        best: The best of all runs, as if one searched so often and kept the best.
        difference: To the baseline, paired by seed; None for the baseline, and without a common seed.
        evaluations: Mean number of evaluations, if known.
        seconds: Mean cost of a run in seconds of evaluations, if known.
    """

    name: str
    runs: int
    mean: float
    std: float | None
    best: float
    difference: Difference | None
    evaluations: float | None
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        found = asdict(self)
        if self.difference:
            found["difference"] |= {"confidence": CONFIDENCE, "significant": self.difference.significant}
        return found


def standings(groups: Iterable[Group], baseline: str) -> list[Standing]:
    """Summarise every searcher, in the order given.

    Args:
        groups: The runs; groups without any are left out.
        baseline: Name of the group that the others are compared with.
    """
    known = {group.name: group for group in groups if group.scores}
    base = known.get(baseline)
    found = []
    for name, group in known.items():
        scores = [group.scores[seed] for seed in sorted(group.scores)]
        found.append(
            Standing(
                name,
                len(scores),
                fmean(scores),
                stdev(scores) if len(scores) > 1 else None,
                max(scores),
                difference(group.scores, base.scores) if base and group is not base else None,
                fmean(group.evaluations.values()) if group.evaluations else None,
                fmean(group.seconds.values()) if group.seconds else None,
            )
        )
    return found


def describe_stalled(runs: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """Return a sentence about runs that ended before their budget; empty if there are none.

    Args:
        runs: Rows of finished runs, by searcher.
    """
    ends = {label: [row.get("stopped") == NOTHING_NEW for row in rows] for label, rows in runs.items()}
    found = [f"{label} {sum(own)} of {len(own)}" for label, own in ends.items() if any(own)]
    if not found:
        return ""
    return f"Runs that ended before their budget because they proposed nothing new: {', '.join(found)}."


def head(baseline: str) -> tuple[str, ...]:
    """Return the names of the columns of `cells`."""
    return (
        "searcher",
        "runs",
        "mean ± std",
        f"difference to {baseline} [{CONFIDENCE:.0%} interval]",
        "better : worse",
        "best of all runs",
        "evaluations",
        "their seconds",
    )


def cells(standing: Standing) -> tuple[str, ...]:
    """Return a line of the table as texts; a star marks an interval that excludes zero."""
    found = standing.difference
    apart, seeds = "-", "-"
    if found:
        apart, seeds = f"{_number(found.mean, '+')}", f"{found.better} : {found.worse}"
        if found.low is not None and found.high is not None:
            apart += f" [{_number(found.low, '+')}, {_number(found.high, '+')}]"
            apart += " *" if found.significant else ""
    return (
        standing.name,
        str(standing.runs),
        _number(standing.mean) + (f" ± {_number(standing.std)}" if standing.std is not None else ""),
        apart,
        seeds,
        f"{_number(standing.best)} (of {standing.runs})",
        "-" if standing.evaluations is None else f"{standing.evaluations:,.1f}",
        "-" if standing.seconds is None else f"{standing.seconds:,.0f}",
    )


def to_markdown(found: Sequence[Standing], baseline: str) -> str:
    """Return the table in Markdown."""
    rows = [head(baseline), ("---",) * len(head(baseline)), *map(cells, found)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows).replace(" * |", " \\* |")


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as CSV, numbers in full; nested mappings become columns ``a_b``."""
    flat = [_flat(row) for row in rows]
    text = io.StringIO()
    names = dict.fromkeys(name for row in flat for name in row)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        inner = _flat(value) if isinstance(value, Mapping) else None
        found |= {f"{name}_{key}": v for key, v in inner.items()} if inner is not None else {name: value}
    return found


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if value == 0 or 5e-4 <= abs(value) < 1e6 else f"{value:{sign}.3g}"
