"""The frame of a chart: its axes, and the pixels of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from markupsafe import Markup

from nasforge.report.numbers import log_ticks, plain, tick_text, ticks

__all__ = ["BOTTOM", "TOP", "Frame", "ends", "log_ends", "robust_minimum"]

WIDTH, HEIGHT = 330.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 42.0, 8.0, 10.0, 36.0

LETTER = 6.8
"""Width of a digit on the vertical axis, which gets more room for long numbers."""


@dataclass
class Frame:
    """Axes, and what is drawn between them.

    Attributes:
        x: Ends of the horizontal axis.
        y: Ends of the vertical axis.
        label: Read aloud where the chart cannot be seen.
        x_name: Name of the horizontal axis.
        log_x: Whether the horizontal axis is logarithmic.
        log_y: Whether the vertical axis is.
        width: Of the picture, in pixels at its natural size.
        height: Of the picture.
        left: Where the vertical axis is.
        bottom: Height of what is below the horizontal axis.
        shapes: The elements so far.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    label: str
    x_name: str = ""
    log_x: bool = False
    log_y: bool = False
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    bottom: float = BOTTOM
    shapes: list[str] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        """Return the pixel of a horizontal value."""
        return self.left + (self.width - self.left - RIGHT) * _share(value, self.x, self.log_x)

    def at_y(self, value: float) -> float:
        """Return the pixel of a vertical value."""
        return (
            self.height - self.bottom - (self.height - TOP - self.bottom) * _share(value, self.y, self.log_y)
        )

    def axes(self, *, whole: bool = False, rows: bool = True) -> None:
        """Draw grid lines and labels.

        Args:
            whole: Whether the horizontal axis counts, so that it has no fractions.
            rows: Whether the vertical axis has ticks.
        """
        texts: dict[float, str] = {}
        if rows:
            levels = log_ticks(*self.y) if self.log_y else ticks(*self.y)
            texts = {v: plain(v, 2) if self.log_y else tick_text(v, levels) for v in levels}
            self.left = max(self.left, 8 + LETTER * max(map(len, texts.values()), default=0))
        left, right, bottom = self.left, self.width - RIGHT, self.height - self.bottom
        if rows:
            for value, text in texts.items():
                y = self.at_y(value)
                self.shapes.append(f'<path class="grid" d="M{left:g} {y:.1f}H{right:g}"/>')
                self.shapes.append(f'<text x="{left - 6:g}" y="{y + 3.5:.1f}" class="end">{text}</text>')
        levels = log_ticks(*self.x) if self.log_x else ticks(*self.x, 5)
        levels = [v for v in levels if not whole or v == int(v)]
        self.shapes.append(f'<path class="axis" d="M{left:g} {bottom:g}H{right:g}"/>')
        for value in levels:
            x = self.at_x(value)
            anchor = ' class="end"' if x > right - 10 else ' class="mid"'
            text = plain(value, 2) if self.log_x else tick_text(value, levels)
            place = f'x="{min(x, right):.1f}" y="{bottom + 15:g}"'
            self.shapes.append(f"<text {place}{anchor}>{text}</text>")
        if self.x_name:
            place = f'x="{(left + right) / 2:g}" y="{self.height - 3:g}" class="mid name"'
            self.shapes.append(f"<text {place}>{escape(self.x_name)}</text>")

    def svg(self, kind: str = "plot") -> Markup:
        """Return the picture.

        Args:
            kind: Class of the element.
        """
        x, y = (f"{a:.6g} {b:.6g}" for a, b in (self.x, self.y))
        logs = f"{'x' * self.log_x}{'y' * self.log_y}"
        inner = f"{self.left:g} {TOP:g} {self.width - RIGHT:g} {self.height - self.bottom:g}"
        head = (
            f'<svg class="{kind}" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(self.label)}" data-x="{x}" data-y="{y}" data-log="{logs}" '
            f'data-inner="{inner}" data-unit="{escape(self.x_name)}">'
        )
        return Markup(head + "".join(self.shapes) + "</svg>")


def ends(values: Sequence[float], margin: float = 0.0) -> tuple[float, float]:
    """Return the ends of an axis: a margin around the values, and zero where it is near."""
    low, high = min(values), max(values)
    if low == high:
        half = abs(low) * 0.1 or 0.5
        return low - half, high + half
    span = high - low
    start = 0.0 if margin and 0 <= low < 0.35 * span else low - margin * span
    return start, high + margin * span


def log_ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis: a margin around the values."""
    return min(values) / 1.15, max(values) * 1.15


def _share(value: float, ends: tuple[float, float], log: bool) -> float:
    low, high = ends
    value = min(max(value, low), high)
    if log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def robust_minimum(values: Sequence[float], share: float = 0.05) -> float:
    """Return where an axis of scores should begin: what lies far below the others is cut off.

    Args:
        values: The scores.
        share: Part of them that may be cut off.
    """
    ordered = sorted(values)
    low, high = ordered[int(share * len(ordered))], ordered[-1]
    start = low - 0.6 * (high - low)
    return ordered[0] if ordered[0] >= start or low == high else start
