"""Exported formats of a network, with their sizes and measured speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasforge.report.numbers import NOTHING, plain
from nasforge.report.reading import RunRecord
from nasforge.report.shapes import is_number

__all__ = ["Deployment", "deployment_of"]

COLUMNS = {
    "file": "file",
    "bytes": "size",
    "max_difference": "max. difference",
    "same_top1": "same best class",
    "accuracy": "accuracy, %",
    "latency_ms": "latency, ms",
    "throughput": "images per second",
}
"""Columns of the table, by the key of an entry; those that no format has are left out."""


@dataclass(frozen=True)
class Deployment:
    """The exported formats.

    Attributes:
        head: Names of the columns.
        rows: A row of texts per format that works.
        failed: Pairs of a format that failed and the reason.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    failed: tuple[tuple[str, str], ...]


def deployment_of(record: RunRecord) -> Deployment | None:
    """Return the table of exported formats, with the network itself above them; None if there are none."""
    formats = record.export.get("formats")
    entries = [
        (str(name), entry)
        for name, entry in (formats.items() if isinstance(formats, Mapping) else ())
        if isinstance(entry, Mapping)
    ]
    if not entries:
        return None
    failed = [(name, str(entry["failed"])) for name, entry in entries if entry.get("failed")]
    works = [(name, entry) for name, entry in entries if not entry.get("failed")]
    keys = [key for key in COLUMNS if any(entry.get(key) is not None for _, entry in works)]
    source = record.export.get("source")
    above = [("the network in torch", source)] if isinstance(source, Mapping) and works else []
    rows = [(name, *(_text(key, entry.get(key)) for key in keys)) for name, entry in [*above, *works]]
    return Deployment(("format", *(COLUMNS[key] for key in keys)), tuple(rows), tuple(failed))


def _text(key: str, value: Any) -> str:
    if value is None:
        return NOTHING
    if not is_number(value):
        return str(value)
    if key == "bytes":
        return f"{value / 1e6:.2f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"
    if key == "same_top1":
        return f"{100 * value:.1f} %"
    if key == "max_difference":
        return f"{value:.2g}"
    return f"{value:.2f}" if key == "accuracy" else plain(float(value))
