"""Amounts of memory, as people write them."""

from __future__ import annotations

import re

import typer

__all__ = ["parse_memory"]

UNITS = {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
"""Bytes of the units that are understood."""

LARGEST = 2**50
"""Bytes that are still taken for the memory of a GPU: 1,024 TiB."""

NAMES = {name.lower(): name for name in UNITS}
"""Units by how they may be written: in any case."""


def parse_memory(text: str) -> int:
    """Return the bytes of an amount such as ``24GiB``.

    Args:
        text: A positive number and a unit.

    Raises:
        typer.BadParameter: It is none, or larger than `LARGEST`.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)?\s*", text, re.IGNORECASE | re.ASCII)
    number, unit = (float(found[1]), (found[2] or "").lower()) if found else (0.0, "")
    size = int(min(number * UNITS[NAMES[unit]], 2 * LARGEST)) if unit in NAMES else 0
    if size <= 0:
        raise typer.BadParameter(
            f"{text!r} is not an amount of memory. {_advice(number, unit)}", param_hint="--memory"
        )
    if size > LARGEST:
        raise typer.BadParameter(
            f"{text!r} is more than any GPU has. Write an amount up to 1024TiB.", param_hint="--memory"
        )
    return size


def _advice(number: float, unit: str) -> str:
    """Return what to write instead of an amount that is not understood."""
    from difflib import get_close_matches

    if number <= 0:
        return "Write a positive number and a unit: 24GiB, 800MiB or 80GB."
    short = {"g": "gib", "m": "mib", "k": "kib", "t": "tib", "": "gib"}
    close = [short[unit]] if unit in short else get_close_matches(unit, NAMES, 1)
    if close:
        return f"Write its unit: {number:g}{NAMES[close[0]]}."
    return f"{unit!r} is not a unit of memory: write MiB, GiB, MB or GB, as in {number:g}GiB."
