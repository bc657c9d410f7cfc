"""The parts of a report on a bench: standings, box plots, and the best so far by effort."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

from markupsafe import Markup

from nasforge.benches.paired import CONFIDENCE
from nasforge.benches.standings import describe_stalled
from nasforge.report.charts import Box, Series, box_plot
from nasforge.report.compare_view import Pairing, pair
from nasforge.report.departures import flatten
from nasforge.report.findings import Finding
from nasforge.report.frame import Frame, ends
from nasforge.report.panels import Panel, panel
from nasforge.report.reading import BenchRecord, Row
from nasforge.report.run_view import environment_rows, option_text
from nasforge.report.shapes import is_number

__all__ = ["BenchView", "anytime", "bench_view"]

GRID = 120
"""Places at which the curves of several runs are averaged."""


@dataclass(frozen=True)
class BenchView:
    """Values for the template of a bench."""

    record: BenchRecord
    lead: str
    subtitle: str
    pairing: Pairing
    boxes: Markup
    metric: str
    curves: list[Panel]
    findings: list[Finding]
    options: list[tuple[str, str]]
    environment: list[tuple[str, str]]


def bench_view(record: BenchRecord) -> BenchView:
    """Prepare everything that a report shows of a bench."""
    runs = {label: rows for label, rows in record.runs.items() if rows}
    metric = str(record.inputs.get("metric", "score"))
    seeds = {row["seed"] for rows in runs.values() for row in rows}
    boxes = [
        Box(label, [row["score"] for row in rows], colour)
        for colour, (label, rows) in enumerate(runs.items())
    ]
    count = sum(map(len, runs.values()))
    title = metric.replace("_", " ")
    curves = [anytime(runs, 0, f"Best {title} so far, by evaluations", "evaluations")]
    curves.append(anytime(runs, 1, f"Best {title} so far, by seconds", "seconds"))
    budget = re.sub(r"\d{5,}", lambda digits: f"{int(digits[0]):,}", str(record.inputs.get("budget", "")))
    return BenchView(
        record=record,
        lead=f"{len(record.runs)} searchers, {len(seeds)} seeds, {budget} for each of {count} runs.",
        subtitle=f"bench · {str(record.environment.get('started', ''))[:10]}".rstrip(" ·"),
        pairing=pair([record.folder]),
        boxes=box_plot(boxes, label=f"{title} by searcher", x_name=title) if boxes else Markup(""),
        metric=title,
        curves=[curve for curve in curves if curve],
        findings=_findings(record),
        options=[(name, option_text(value)) for name, value in flatten(record.inputs)],
        environment=environment_rows(record.environment),
    )


def anytime(runs: Mapping[str, Sequence[Row]], axis: int, title: str, x_name: str) -> Panel | None:
    """Draw the mean of the best so far per searcher, with the confidence interval of the mean.

    The interval is that of Student's t distribution over the seeds. A curve begins where every run has a
    value, and ends with the longest run.

    Args:
        runs: Results of finished runs by searcher, with their ``curve``.
        axis: Which number of a point is the effort: 0 for evaluations, 1 for seconds.
        title: Above the chart.
        x_name: Name of the effort.
    """
    series = []
    for colour, (label, rows) in enumerate(runs.items()):
        curves = [_steps(row, axis) for row in rows]
        curves = [curve for curve in curves if curve]
        lengths = [float(row.get(("evaluations", "seconds")[axis]) or 0) for row in rows]
        if not curves:
            continue
        start = max(curve[0][0] for curve in curves)
        end = max(*lengths, *(curve[-1][0] for curve in curves))
        places = sorted({start + (end - start) * i / GRID for i in range(GRID + 1)})
        points, band = [], []
        for x in places:
            values = [_value(curve, x) for curve in curves]
            mean, half = fmean(values), _half_width(values)
            points.append((x, mean))
            if half is not None:
                band.append((x, mean - half, mean + half))
        series.append(Series(label, points, colour, step=True, band=band))
    if not series:
        return None
    # The first few evaluations are far below the rest: the axis begins where the curves have settled.
    first = int(0.06 * GRID)
    settled = [one.points[min(first, len(one.points) - 1)][1] for one in series]
    tops = [y for one in series for _, y in one.points]
    tops += [high for one in series for *_, high in one.band[first:]]
    frame = Frame((0, 1), (0, 1), "", width=490, height=240)
    low, high = min(settled), max(tops)
    return panel(title, series, x_name, y=ends([low, max(high, low)], 0.08), frame=frame)


def _steps(row: Row, axis: int) -> list[tuple[float, float]]:
    curve = row.get("curve")
    if not isinstance(curve, list):
        return []
    return [
        (float(point[axis]), float(point[2]))
        for point in curve
        if isinstance(point, list) and len(point) == 3 and all(map(is_number, point))
    ]


def _value(curve: Sequence[tuple[float, float]], x: float) -> float:
    """Return the value that a curve of steps has at a place."""
    return next((y for at, y in reversed(curve) if at <= x), curve[0][1])


def _half_width(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    return _t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))


@cache
def _t_quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))


def _findings(record: BenchRecord) -> list[Finding]:
    found = [Finding("note", "damaged file", problem) for problem in record.problems]
    counts = {label: len(rows) for label, rows in record.runs.items()}
    most = max(counts.values(), default=0)
    if fewer := [f"{label} {count}" for label, count in counts.items() if count < most]:
        text = f"fewer runs than the others ({most}): {', '.join(fewer)}. The same command resumes."
        found.append(Finding("note", "unfinished", text))
    if stalled := describe_stalled(record.runs):
        found.append(Finding("note", "ended early", stalled))
    if most and not any(row.get("curve") for rows in record.runs.values() for row in rows):
        text = "these runs were made before the best score so far was recorded, so there are no curves."
        found.append(Finding("note", "no curves", text))
    return found
