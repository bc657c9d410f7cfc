"""Charts of metrics: the endings of their names, not their origin, decide which share a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from nasforge.report.charts import COLOURS, Series, line_chart
from nasforge.report.frame import Frame, ends, robust_minimum
from nasforge.report.numbers import plain
from nasforge.report.reading import Row

__all__ = [
    "Legend",
    "Panel",
    "constant_metrics",
    "metric_names",
    "metric_panels",
    "overlaid_panels",
    "panel",
    "series_of",
]

GROUPS = {"loss": "Loss", "accuracy": "Accuracy, %", "entropy": "Decision", "confidence": "Decision"}
"""Titles of charts by the last word of a metric's name; a metric with another one gets a chart of its own."""

ABBREVIATIONS = {"lr": "learning rate", "params": "parameters", "macs": "MACs", "latency_ms": "latency, ms"}

NOT_METRICS = frozenset({"stage", "step", "arch", "failed", "seconds"})

SCORE, BEST = "score", "best_score"
"""Metrics of every black-box search: what a step found, and the best so far."""


@dataclass(frozen=True)
class Legend:
    """An entry of a legend.

    Attributes:
        name: The series.
        tint: Class of its colour.
        last: Its last value as text.
    """

    name: str
    tint: str
    last: str = ""


@dataclass(frozen=True)
class Panel:
    """A chart with its title.

    Attributes:
        title: Above the chart.
        svg: The chart.
        legend: One entry per series; empty for a single one without need of a name.
        note: A remark about the axis.
    """

    title: str
    svg: Markup
    legend: tuple[Legend, ...] = ()
    note: str = ""


def colour_class(colour: int) -> str:
    """Return the CSS classes of a colour."""
    return f"c{colour % COLOURS}" + (" again" if colour >= COLOURS else "")


def panel(
    title: str,
    series: Sequence[Series],
    x_name: str,
    *,
    log: bool = False,
    y: tuple[float, float] | None = None,
    frame: Frame | None = None,
) -> Panel | None:
    """Draw one chart; None if there is nothing to draw.

    Args:
        title: Above the chart.
        series: Its lines.
        x_name: Name of the horizontal axis.
        log: Whether the vertical axis may be logarithmic.
        y: Ends of the vertical axis; None: from the values.
        frame: Of another size.
    """
    drawn = [one for one in series if one.points]
    svg = line_chart(drawn, label=title, x_name=x_name, log=log, y=y, frame=frame)
    if not svg:
        return None
    legend = tuple(
        Legend(one.name, colour_class(one.colour), "" if one.last is None else plain(one.last))
        for one in drawn
    )
    notes = ["log scale"] if 'data-log="y"' in svg else []
    if len(legend) == 1 and legend[0].name.lower() in title.lower():
        notes.insert(0, f"{legend[0].last} at last")
        legend = ()
    return Panel(title, svg, legend, ", ".join(notes))


def metric_names(rows: Iterable[Row]) -> list[str]:
    """Return the names of all numbers in rows, in the order in which they come."""
    return list(
        dict.fromkeys(
            name
            for row in rows
            for name, value in row.items()
            if name not in NOT_METRICS and isinstance(value, int | float) and not isinstance(value, bool)
        )
    )


def series_of(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    """Return the values of a metric by step."""
    return [
        (row["step"], row[name])
        for row in rows
        if isinstance(row.get(name), int | float) and isinstance(row.get("step"), int | float)
    ]


def constant_metrics(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the metrics that never change, with their value: a chart would show nothing."""
    found = []
    for name in metric_names(rows):
        values = {value for _, value in series_of(rows, name)}
        if len(rows) > 1 and len(values) == 1:
            found.append((_words(name), plain(values.pop())))
    return found


def metric_panels(rows: Sequence[Row], x_name: str, skip: Iterable[str] = ()) -> list[Panel]:
    """Draw all metrics of a stage of one run.

    Args:
        rows: Its rows of ``metrics.jsonl``.
        x_name: Name of a step.
        skip: Metrics that are shown elsewhere.
    """
    constant = {name for name, _ in constant_metrics(rows)}
    names = [n for n in metric_names(rows) if n not in set(skip) and _words(n) not in constant]
    black_box = BEST in names
    groups: dict[str, list[str]] = {}
    for name in names:
        title = "Score" if name in (SCORE, BEST) else GROUPS.get(name.rpartition("_")[2], _words(name))
        groups.setdefault(title, []).append(name)
    # The groups that every search has come first, in their order.
    order = ["Score", *dict.fromkeys(GROUPS.values())]
    titles = sorted(groups, key=lambda title: order.index(title) if title in order else len(order))
    panels = []
    for title in titles:
        series = [
            Series(
                _words(name),
                series_of(rows, name),
                colour,
                step=name == BEST,
                dots=black_box and name != BEST,
            )
            for colour, name in enumerate(groups[title])
        ]
        if black_box and title in ("Score", "Accuracy, %"):
            panels.append(_score_panel(title, series, x_name))
        else:
            log = title not in ("Score", "Accuracy, %", "Decision")
            panels.append(panel(title, series, x_name, log=log))
    return [one for one in panels if one is not None]


def _score_panel(title: str, series: Sequence[Series], x_name: str) -> Panel | None:
    """Draw scores; those far below the others would leave no room for what matters."""
    values = [y for one in series for _, y in one.points]
    low = robust_minimum(values)
    below = sum(y < low for one in series if one.dots for _, y in one.points)
    kept = [replace(one, points=[p for p in one.points if p[1] >= low or not one.dots]) for one in series]
    found = panel(title, kept, x_name, y=ends([v for v in values if v >= low], 0.06) if below else None)
    return replace(found, note=f"{below} lower ones are not shown") if found and below else found


def overlaid_panels(
    rows: Mapping[str, Sequence[Row]], x_name: str, skip: tuple[str, ...] = ()
) -> list[Panel]:
    """Draw a chart per metric with a line per run.

    Args:
        rows: Rows of one stage by run.
        x_name: Name of a step.
        skip: Last words of metrics that are shown elsewhere.
    """
    own_names = [metric_names(own) for own in rows.values()]
    counts = Counter(name for own in own_names for name in own)
    shared = [name for name, count in counts.items() if count > 1]
    names = [name for name in shared or counts if not (skip and name.endswith(skip))]
    panels = []
    for name in names:
        series = [
            Series(run, series_of(own, name), colour, step=name == BEST, dots=name == SCORE)
            for colour, (run, own) in enumerate(rows.items())
        ]
        if len({value for one in series for _, value in one.points}) < 2:
            continue
        log = not name.endswith(("accuracy", "score", "entropy", "confidence"))
        panels.append(panel(_words(name), series, x_name, log=log))
    return [one for one in panels if one is not None]


def _words(name: str) -> str:
    return ABBREVIATIONS.get(name, name.replace("_", " "))
