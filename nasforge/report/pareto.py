"""The Pareto front of a search, and the evaluations behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from nasforge.constraints import COSTS
from nasforge.report.charts import Dot, scatter
from nasforge.report.frame import robust_minimum
from nasforge.report.numbers import plain
from nasforge.report.reading import RunRecord
from nasforge.runs.scope import SEARCH

__all__ = ["Pareto", "pareto_of"]

MOST = 3000
"""Evaluations that are drawn; of more, every so-manieth."""

LISTED = 30


@dataclass(frozen=True)
class Pareto:
    """Evaluations by two objectives.

    Attributes:
        svg: The chart.
        x_name: Name of the horizontal objective.
        y_name: Name of the vertical one.
        front: Rows of notation and the two values, for the list below the chart.
        note: Names the evaluations that are left out.
        is_front: Whether the search had several objectives; otherwise the front is drawn for information.
    """

    svg: Markup
    x_name: str
    y_name: str
    front: tuple[tuple[str, str, str], ...]
    note: str
    is_front: bool


def pareto_of(record: RunRecord) -> Pareto | None:
    """Draw the evaluations of a search by score and cost; None if they have no cost."""
    evaluated = [e for row in record.trajectory if isinstance(e := row.get("evaluated"), Mapping)]
    evaluated = [e for e in evaluated if not e.get("failed") and not e.get("estimated")]
    x_name, y_name, sign = _axes(record, evaluated)
    if not x_name:
        return None
    points: dict[tuple[float, float], str] = {}
    for evaluation in evaluated:
        x, y = _value(evaluation, x_name), _value(evaluation, y_name)
        if x is not None and y is not None:
            points.setdefault((x, y), str(evaluation.get("notation", "")))
    if len(points) < 3:
        return None
    front = _front(list(points), sign)
    answer = str(record.first("notation") or "")
    chosen = {point for point, notation in points.items() if notation == answer}
    others = [point for point in points if point not in front and point not in chosen]
    others = others[:: max(1, math.ceil(len(others) / MOST))]

    def dot(point: tuple[float, float], kind: str) -> Dot:
        tip = f"{points[point]}\n{y_name} {plain(point[1], 5)}, {x_name} {plain(point[0], 5)}"
        return Dot(*point, tip + ("\nthe answer of the search" if kind == "chosen" else ""), kind)

    dots = [dot(point, "") for point in others]
    dots += [dot(point, "front") for point in front if point not in chosen]
    dots += [dot(point, "chosen") for point in chosen]
    low = min([robust_minimum([y for _, y in points]), *(y for _, y in front), *(y for _, y in chosen)])
    below = sum(y < low for _, y in points)
    svg = scatter(dots, label=f"{y_name} by {x_name}", x_name=x_name, front=front, low=low)
    note = f"{below} lower ones are not shown" if below else ""
    rows = tuple((points[p], plain(p[1], 5), plain(p[0], 5)) for p in front[:LISTED])
    several = len((record.results.get(SEARCH.stage) or {}).get("front") or []) > 1
    return Pareto(svg, x_name, y_name, rows, note, several)


def _axes(record: RunRecord, evaluated: list[Mapping[str, Any]]) -> tuple[str, str, int]:
    """Return the metrics of both axes, and 1 if higher is better on the vertical one, else -1."""
    searcher = record.resolved.get("searcher") or {}
    objectives = [str(name) for name in searcher.get("objectives") or ()]
    lower = [name.removeprefix("-") for name in objectives if name.startswith("-")]
    higher = [name for name in objectives if not name.startswith("-")]
    known = {name for e in evaluated for name in e.get("metrics") or ()}
    x_name = next((name for name in [*lower, *COSTS] if name in known), "")
    if higher:
        return x_name, higher[0], 1
    rest = [name for name in lower if name != x_name]
    return (x_name, rest[0], -1) if rest else (x_name, "score", 1)


def _front(points: list[tuple[float, float]], sign: int) -> list[tuple[float, float]]:
    """Return the points that no other one beats in both values, lowest x first."""
    best, found = -math.inf, []
    for x, y in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if sign * y > best:
            best = sign * y
            found.append((x, y))
    return found


def _value(evaluation: Mapping[str, Any], name: str) -> float | None:
    value = evaluation.get("score") if name == "score" else (evaluation.get("metrics") or {}).get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
