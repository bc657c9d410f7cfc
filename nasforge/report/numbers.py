"""Numbers as people read them: compact counts, durations, ticks of an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["NOTHING", "compact", "duration", "log_ticks", "plain", "tick_text", "ticks"]

NOTHING = "\u2013"
"""A dash for a number that is not there."""

NARROW = "\u202f"
"""A narrow space that does not break a line."""


def plain(value: float, digits: int = 4) -> str:
    """Write a measurement with about so many significant digits: ``0.01285``, ``98.61``, ``63,922``."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def compact(value: float) -> str:
    """Write a count in three digits and a prefix: ``63.9 k``, ``2.60 M``."""
    size = abs(value)
    for power, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= 0.9995 * power:
            scaled = value / power
            decimals = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{decimals}f}{NARROW}{prefix}"
    return plain(value, 3)


def duration(seconds: float) -> str:
    """Write a duration as a person would: ``0.2 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f}{NARROW}s" if seconds else f"0{NARROW}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW}s"
    if whole < 3600:
        return f"{whole // 60}{NARROW}min {whole % 60:02}{NARROW}s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60}{NARROW}h {minutes % 60:02}{NARROW}min"
    hours = round(seconds / 3600)
    return f"{hours // 24}{NARROW}d {hours % 24}{NARROW}h"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers from ``low`` to ``high``, both included if they are round: about ``count``."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten between two positive numbers, thinned out to five at most."""
    powers = list(range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1))
    every = max(1, math.ceil(len(powers) / 5))
    return [10.0**power for power in powers[::every]]


def tick_text(value: float, all_ticks: Sequence[float]) -> str:
    """Write a tick of an axis, with as many decimals as its neighbours need."""
    largest = max(map(abs, all_ticks), default=0.0)
    if largest >= 10_000:
        return "0" if value == 0 else compact(value).replace(".00", "").replace(".0", "")
    if 0 < largest < 1e-3 or (value and abs(value) < 1e-4):
        return f"{value:.0e}".replace("e-0", "e-")
    step = min((b - a for a, b in pairwise(all_ticks)), default=1.0)
    decimals = next((d for d in range(6) if abs(round(step, d) - step) < 1e-9 * max(1.0, step)), 6)
    return f"{value:.{decimals}f}"
