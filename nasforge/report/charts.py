"""Charts as inline SVG: lines, dots with a front, box plots. The style sheet has their colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from nasforge.report.frame import BOTTOM, TOP, Frame, ends, log_ends
from nasforge.report.numbers import plain

__all__ = ["COLOURS", "Box", "Dot", "Series", "box_plot", "line_chart", "scatter"]

COLOURS = 10
"""Number of colours for series; more series repeat them, dashed."""

MOST = 240
"""Points of a line that are drawn; a longer one keeps the lowest and highest of every part."""

SPREAD = 50.0
"""Ratio of largest to smallest value from which an axis may be logarithmic."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: Shown in legends and tooltips.
        points: Pairs of x and y, x ascending; those that are not finite are left out.
        colour: Index of the colour, from 0.
        step: Whether the value stays until the next point.
        dots: Whether points are drawn instead of a line.
        faint: Whether it is drawn thin.
        band: Triples of x, lower and upper end of an interval.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0
    step: bool = False
    dots: bool = False
    faint: bool = False
    band: Sequence[tuple[float, float, float]] = ()

    @property
    def last(self) -> float | None:
        """The last value."""
        return self.points[-1][1] if self.points else None


@dataclass(frozen=True)
class Dot:
    """A point with a text of its own.

    Attributes:
        x: Horizontal value.
        y: Vertical value.
        tip: Shown on hover and focus.
        kind: Class of its style: ``""``, ``"front"`` or ``"chosen"``.
    """

    x: float
    y: float
    tip: str
    kind: str = ""


@dataclass(frozen=True)
class Box:
    """The values of one row of a box plot.

    Attributes:
        name: Label of the row.
        values: At least one.
        colour: Index of the colour.
    """

    name: str
    values: Sequence[float]
    colour: int = 0


def line_chart(
    series: Iterable[Series],
    *,
    label: str,
    x_name: str = "",
    y: tuple[float, float] | None = None,
    x: tuple[float, float] | None = None,
    log: bool = False,
    frame: Frame | None = None,
) -> Markup:
    """Draw lines over a common axis.

    Args:
        series: The lines; those without a finite point are left out.
        label: Description for screen readers; first and last values are added.
        x_name: Name of the horizontal axis.
        y: Ends of the vertical axis; None: from the values.
        x: Ends of the horizontal axis; None: from the values.
        log: Whether the vertical axis may be logarithmic, if the values are spread widely.
        frame: Sizes and axes of an own making.

    Returns:
        The picture; an empty text if there is nothing to draw.
    """
    drawn = [finite for one in series if (finite := _finite(one)).points]
    if not drawn:
        return Markup("")
    xs = [p[0] for one in drawn for p in one.points]
    ys = [p[1] for one in drawn for p in one.points] + [v for one in drawn for t in one.band for v in t[1:]]
    log = log and min(ys) > 0 and max(ys) / min(ys) > SPREAD
    told = "; ".join(
        f"{one.name}: {plain(one.points[0][1], 3)} at first, {plain(one.points[-1][1], 3)} at last"
        for one in drawn[:6]
    )
    frame = frame or Frame((0, 1), (0, 1), "")
    frame.x, frame.y = x or ends(xs), y or (log_ends(ys) if log else ends(ys, 0.06))
    frame.label, frame.x_name, frame.log_y = f"{label}. {told}.", x_name, log
    frame.axes(whole=all(value == int(value) for value in xs))
    for one in drawn:
        _draw_series(frame, one)
    return frame.svg()


def scatter(
    dots: Sequence[Dot],
    *,
    label: str,
    x_name: str,
    front: Sequence[Point] = (),
    log_x: bool = False,
    low: float | None = None,
) -> Markup:
    """Draw points with texts of their own, and the line of a front.

    Args:
        dots: The points; later ones cover earlier ones.
        label: Description for screen readers.
        x_name: Name of the horizontal axis.
        front: Points of the line, x ascending; it goes in steps.
        log_x: Whether the horizontal axis may be logarithmic.
        low: Points below this value are left out.
    """
    dots = [dot for dot in dots if low is None or dot.y >= low]
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    log_x = log_x and min(xs) > 0 and max(xs) / min(xs) > SPREAD
    frame = Frame(
        log_ends(xs) if log_x else ends(xs, 0.05),
        ends(ys, 0.08),
        f"{label}. {len(dots)} points, {sum(dot.kind != '' for dot in dots)} of them marked.",
        x_name,
        log_x=log_x,
        width=560,
        height=300,
    )
    frame.axes()
    if len(front) > 1:
        path = _path([(frame.at_x(a), frame.at_y(b)) for a, b in front], step=True)
        frame.shapes.append(f'<path class="front" d="{path}"/>')
    for dot in dots:
        place = f'cx="{frame.at_x(dot.x):.1f}" cy="{frame.at_y(dot.y):.1f}"'
        # Points that matter can be reached by keyboard; thousands of others would be in the way.
        reach = f' tabindex="0" role="img" aria-label="{escape(dot.tip)}"' if dot.kind else ""
        radius = {"": 3, "front": 5, "chosen": 6}[dot.kind]
        frame.shapes.append(
            f'<circle class="dot {dot.kind}" {place} r="{radius}" data-tip="{escape(dot.tip)}"{reach}/>'
        )
    # A picture that holds what can be focused is a group.
    return Markup(str(frame.svg("scatter")).replace('role="img"', 'role="group"', 1))


def box_plot(boxes: Sequence[Box], *, label: str, x_name: str) -> Markup:
    """Draw a row per group: quartiles, median, whiskers to the farthest values, and every value as a dot.

    Args:
        boxes: The groups.
        label: Description for screen readers.
        x_name: Name of the axis.
    """
    longest = max(len(box.name) for box in boxes)
    left = min(230.0, 18 + 9.0 * longest)  # room for the larger letters of a phone
    values = [value for box in boxes for value in box.values]
    row = 30.0
    height = TOP + BOTTOM + row * len(boxes)
    medians = "; ".join(f"{box.name}: median {plain(_quantile(box.values, 0.5), 4)}" for box in boxes)
    frame = Frame(
        ends(values, 0.04),
        (0, len(boxes)),
        f"{label}. {medians}.",
        x_name,
        width=560,
        height=height,
        left=left,
    )
    frame.axes(rows=False)
    for number, box in enumerate(boxes):
        y = TOP + row * (number + 0.5)
        low, first, middle, third, high = (
            frame.at_x(_quantile(box.values, q)) for q in (0, 0.25, 0.5, 0.75, 1)
        )
        tint = f"c{box.colour % COLOURS}"
        spread = f"M{low:.1f} {y:g}H{first:.1f}M{third:.1f} {y:g}H{high:.1f}"
        size = f'x="{first:.1f}" y="{y - 8:g}" width="{max(third - first, 0.5):.1f}" height="16"'
        frame.shapes += [
            f'<text x="{left - 8:g}" y="{y + 4:g}" class="end row">{escape(_shorten(box.name))}</text>',
            f'<path class="whisker {tint}" d="{spread}"/>',
            f'<rect class="box {tint}" {size} rx="2"/>',
            f'<path class="median {tint}" d="M{middle:.1f} {y - 8:g}V{y + 8:g}"/>',
        ]
        for at, value in enumerate(box.values):
            lift = (at * 7 % 5 - 2) * 2.2  # spread over the row, the same in every picture
            tip = escape(f"{box.name}: {plain(value, 5)}")
            place = f'cx="{frame.at_x(value):.1f}" cy="{y + lift:g}"'
            frame.shapes.append(f'<circle class="value {tint}" {place} r="2.4" data-tip="{tip}"/>')
    return frame.svg("boxes")


def _draw_series(frame: Frame, one: Series) -> None:
    tint = f"c{one.colour % COLOURS}" + (" again" if one.colour >= COLOURS else "")
    if one.band:
        upper = [(frame.at_x(x), frame.at_y(high)) for x, _, high in one.band]
        lower = [(frame.at_x(x), frame.at_y(low)) for x, low, _ in reversed(one.band)]
        frame.shapes.append(f'<path class="band {tint}" d="{_path(upper + lower)}Z"/>')
    points = [(frame.at_x(x), frame.at_y(y)) for x, y in downsample(one.points)]
    if one.dots or len(points) == 1:
        marks = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
        alone = " alone" * (len(points) == 1)
        frame.shapes.append(f'<path class="dots{alone} {tint}" d="{marks}"/>')
    if len(points) > 1 and not one.dots:
        kind = "line faint" if one.faint else "line"
        name = f' data-name="{escape(one.name)}"'
        frame.shapes.append(f'<path class="{kind} {tint}" d="{_path(points, step=one.step)}"{name}/>')


def downsample(points: Sequence[Point], most: int = MOST) -> Sequence[Point]:
    """Return at most so many points, with the lowest and the highest of every part, and both ends.

    Args:
        points: In the order of x.
        most: How many may stay.
    """
    if len(points) <= most:
        return points
    parts = max(1, (most - 2) // 2)
    kept = {0, len(points) - 1}
    for part in range(parts):
        span = range(part * len(points) // parts, (part + 1) * len(points) // parts)
        kept |= {min(span, key=lambda i: points[i][1]), max(span, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def _path(points: Sequence[Point], *, step: bool = False) -> str:
    (x, y), *rest = points
    parts = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        parts.append(f"L{to_x:.1f} {y:.1f}" if step and to_y != y else "")
        parts.append(f"L{to_x:.1f} {to_y:.1f}")
        y = to_y
    return "".join(parts)


def _finite(one: Series) -> Series:
    points = [(x, y) for x, y in one.points if math.isfinite(x) and math.isfinite(y)]
    band = [triple for triple in one.band if all(map(math.isfinite, triple))]
    return Series(one.name, points, one.colour, one.step, one.dots, one.faint, band)


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _shorten(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
