"""Option weights of a search: how decided it is, and a small chart for every choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from nasforge.report.charts import Series, line_chart
from nasforge.report.findings import decision
from nasforge.report.frame import Frame
from nasforge.report.numbers import plain
from nasforge.report.panels import Legend, Panel, colour_class, panel
from nasforge.report.reading import RunRecord
from nasforge.runs.scope import SEARCH

__all__ = ["ChoiceChart", "ChoiceGroup", "choice_groups", "decision_panel", "option_legend"]

POINTS = 60
"""Steps of a choice that are drawn: its chart is small."""

FEW = 4
"""Choices that a group has on average at least; with fewer, all stand together."""

MOST = 150
"""Choices that are drawn."""


@dataclass(frozen=True)
class ChoiceChart:
    """The weights of one choice.

    Attributes:
        name: The choice, without its group.
        svg: The chart.
        picked: Options of the found architecture, with their last weights.
        tint: Class of the colour of the first of them.
    """

    name: str
    svg: Markup
    picked: str
    tint: str


@dataclass(frozen=True)
class ChoiceGroup:
    """Choices whose names begin alike, such as those of a cell.

    Attributes:
        name: The common beginning; may be empty.
        charts: One per choice.
    """

    name: str
    charts: tuple[ChoiceChart, ...]


def decision_panel(record: RunRecord) -> Panel | None:
    """Draw how decided the search was, from the option weights; None without weights."""
    measured = [(row["step"], decision(row["weights"])) for row in _rows(record)]
    entropy = [(step, found.entropy) for step, found in measured if found]
    heaviest = [(step, found.confidence) for step, found in measured if found]
    series = [
        Series("entropy (1 is undecided)", entropy, 0),
        Series("weight of the heaviest option", heaviest, 1),
    ]
    return panel("Decision", series, "step", y=(0.0, 1.05))


def choice_groups(record: RunRecord) -> list[ChoiceGroup]:
    """Draw the weights of every choice that was learned."""
    rows = _rows(record)
    known = {choice["name"]: choice for choice in record.choices}
    learned = [name for name in known if any(name in row["weights"] for row in rows)][:MOST]
    if not learned:
        return []
    colours = _colours(record)
    every = max(1, len(rows) // POINTS)
    shown = [row for i, row in enumerate(rows) if i % every == 0 or i == len(rows) - 1]
    top = max((max(row["weights"][n]) for row in shown for n in learned if row["weights"].get(n)), default=1)
    last_step = max(row["step"] for row in rows)
    found = (record.results.get(SEARCH.stage) or {}).get("architecture") or {}
    beginnings = {name.partition("/")[0] for name in learned if "/" in name}
    grouped = all("/" in name for name in learned) and len(learned) >= FEW * len(beginnings)
    groups: dict[str, list[ChoiceChart]] = {}
    for name in learned:
        group, rest = name.split("/", 1) if grouped else ("", name)
        answer = found.get(name, ())
        picked = [answer] if isinstance(answer, str) else [str(option) for option in answer]
        options = list(known[name]["options"])
        chart = _chart(name, options, shown, picked, colours, (0.0, 1.06 * top), (1, max(last_step, 2)))
        groups.setdefault(group, []).append(ChoiceChart(rest, *chart))
    return [ChoiceGroup(name, tuple(charts)) for name, charts in groups.items()]


def option_legend(record: RunRecord) -> list[Legend]:
    """Return the colours of the options whose weights were learned."""
    learned = {name for row in _rows(record) for name in row["weights"]}
    shown = {o for c in record.choices if c["name"] in learned for o in c["options"]}
    return [
        Legend(option, colour_class(colour)) for option, colour in _colours(record).items() if option in shown
    ]


def _chart(
    name: str,
    options: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    picked: Sequence[str],
    colours: Mapping[str, int],
    y: tuple[float, float],
    x: tuple[float, float],
) -> tuple[Markup, str, str]:
    series, last = [], {}
    for index, option in enumerate(options):
        points = [
            (row["step"], row["weights"][name][index])
            for row in rows
            if len(row["weights"].get(name, ())) == len(options)
        ]
        if points:
            last[option] = points[-1][1]
        series.append(Series(option, points, colours.get(option, 0), faint=option not in picked))
    series.sort(key=lambda one: not one.faint)  # the picked ones cover the others
    frame = Frame((0, 1), (0, 1), "", width=172, height=104, left=30, bottom=21)
    svg = line_chart(series, label=f"Option weights of {name}", y=y, x=x, frame=frame)
    text = ", ".join(f"{option} {plain(last[option], 2)}" if option in last else option for option in picked)
    return svg, text, colour_class(colours.get(picked[0], 0)) if picked else ""


def _rows(record: RunRecord) -> list[Mapping[str, Any]]:
    """Return the rows with weights; a row without them has those of the row before."""
    found: list[Mapping[str, Any]] = []
    weights = None
    for row in record.trajectory:
        weights = row.get("weights") or weights
        if weights:
            found.append({"step": row["step"], "weights": weights})
    return found


def _colours(record: RunRecord) -> dict[str, int]:
    """Give every option of operations a colour; those of edges, which are many, share them in order."""
    options: dict[str, int] = {}
    for kind in ("op", "edge"):
        names = [o for c in record.choices if c.get("kind", "op") == kind for o in c["options"]]
        new = [name for name in dict.fromkeys(names) if name not in options]
        start = len(options) if kind == "op" else 0
        options |= {name: start + i for i, name in enumerate(new)}
    return options
