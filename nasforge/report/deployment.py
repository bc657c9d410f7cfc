"""Exported formats of a network, with their sizes and measured speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasforge.report.numbers import NOTHING, plain
from nasforge.report.reading import RunRecord

__all__ = ["Deployment", "deployment_of"]

COLUMNS = {
    "file": "file",
    "bytes": "size",
    "max_difference": "max. difference",
    "same_top1": "same top-1",
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
    """Return the table of exported formats; None if there are none."""
    formats = record.export.get("formats")
    entries = _entries(formats)
    if not entries:
        return None
    failed = [
        (name, str(e.get("error") or e.get("reason") or e.get("failed"))) for name, e in entries if _failed(e)
    ]
    works = [(name, entry) for name, entry in entries if not _failed(entry)]
    keys = [key for key in COLUMNS if any(entry.get(key) is not None for _, entry in works)]
    rows = [(name, *(_text(key, entry.get(key)) for key in keys)) for name, entry in works]
    return Deployment(("format", *(COLUMNS[key] for key in keys)), tuple(rows), tuple(failed))


def _entries(formats: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(formats, Mapping):
        return [(str(name), entry) for name, entry in formats.items() if isinstance(entry, Mapping)]
    if isinstance(formats, list):
        return [(str(e.get("format", "")), e) for e in formats if isinstance(e, Mapping)]
    return []


def _failed(entry: Mapping[str, Any]) -> bool:
    return any(entry.get(key) for key in ("error", "reason", "failed"))


def _text(key: str, value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if key == "bytes":
            return f"{value / 1e6:.2f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"
        return f"{value:.2g}" if key == "max_difference" else plain(float(value))
    return str(value)
