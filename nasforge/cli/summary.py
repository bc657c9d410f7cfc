"""The end of ``nasforge run``: what was found, what makes it doubtful, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasforge.api import RunResult
    from nasforge.report.findings import Finding
    from nasforge.report.reading import RunRecord

__all__ = ["print_summary"]

WIDTH = 100
"""Columns of a drawn cell, where it can be broken."""


def print_summary(result: RunResult, commands: Collection[str] = ()) -> list[Finding]:
    """Print the architecture, its measurements, what makes it doubtful, and the next commands.

    Args:
        result: The run.
        commands: Names of the commands that there are.

    Returns:
        What makes the result doubtful, and what else to know.
    """
    from nasforge.cli.output import print_table
    from nasforge.report.findings import find

    record = _read(result)
    cells = _drawn(record)
    print()
    if cells:
        print(f"{cells}\n")
    print_table([row for row in _rows(result, with_notation=not cells) if row[1]])
    findings = [] if record is None else find(record)
    for finding in findings:
        print(f"\n{finding.kind}: {finding.title}: {finding.text}")
    if record is not None and (following := _next(result, record, commands)):
        print("\nnext:")
        print_table(following, indent="  ")
    return findings


def _read(result: RunResult) -> RunRecord | None:
    """Return the files of the run; None if they are not there."""
    from nasforge.errors import NasforgeError
    from nasforge.report.reading import read_run

    try:
        return read_run(result.folder)
    except NasforgeError:
        return None


def _drawn(record: RunRecord | None) -> str:
    """Return the cells as text; empty if the space does not draw its architectures."""
    from nasforge.drawing import draw_text
    from nasforge.report.cells import graphs_of

    graphs = [] if record is None else graphs_of(record.graphs.get("best"))
    return draw_text(graphs, WIDTH)


def _rows(result: RunResult, *, with_notation: bool) -> Iterator[tuple[str, str]]:
    from nasforge.constraints import number

    # Later stages repeat what earlier ones found, so the first report of a value counts.
    reported: dict[str, Any] = {}
    for found in reversed(list(result.results.values())):
        reported |= found
    if with_notation:
        yield "architecture", str(reported.get("notation", ""))
    yield from (
        (words, number(reported[key])) for key, words in _SIZES.items() if reported.get(key) is not None
    )
    yield from _looked_up(reported.get("looked_up"))
    yield from _texts(reported.get("searcher"))
    # The test stage repeats what the train stage measured, so it goes last.
    measured: dict[str, float] = {}
    for found in result.results.values():
        measured |= _accuracies(found)
    yield from ((name.replace("_", " "), f"{value:.2f} %") for name, value in sorted(measured.items()))
    seconds = {stage: found.get("seconds") for stage, found in result.results.items()}
    spent = [f"{stage} {value:.1f}" for stage, value in seconds.items() if isinstance(value, int | float)]
    yield "seconds", ", ".join(spent)
    yield "folder", str(result.folder)


def _looked_up(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return a table's entries for the architecture, which the search has not seen."""
    return [
        (f"{name.replace('_', ' ')} (looked up)", f"{value:.2f}" if isinstance(value, float) else str(value))
        for name, value in (found or {}).items()
    ]


def _texts(summary: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return a row for each entry of a searcher's summary that has a text."""
    return [
        (name.replace("_", " "), str(entry["text"]))
        for name, entry in (summary or {}).items()
        if isinstance(entry, Mapping) and entry.get("text")
    ]


_SIZES = {"params": "parameters", "macs": "MACs", "memory": "memory, MiB", "latency_ms": "latency, ms"}


def _accuracies(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the accuracies in a stage's result, also those among the metrics of an evaluation."""
    measured = {
        name: float(value)
        for name, value in found.items()
        if "accuracy" in name and isinstance(value, int | float)
    }
    metrics = found.get("metrics")
    return {**(_accuracies(metrics) if isinstance(metrics, Mapping) else {}), **measured}


def _next(result: RunResult, record: RunRecord, known: Collection[str]) -> list[tuple[str, str]]:
    """Return the commands that make use of the run, of those that there are."""
    from nasforge.report.write import REPORT
    from nasforge.runs.network import WEIGHTS
    from nasforge.runs.scope import TRAIN

    folder = shlex.quote(str(result.folder))
    trained = (record.folder / TRAIN.stage / WEIGHTS).exists()
    page = record.folder / REPORT
    following = {
        "predict": (f"{folder} IMAGE…", "classify images", trained),
        "report": (folder, f"written: {page}" if page.exists() else "all of this as a page", True),
        "export": (folder, "files for other programs", trained),
    }
    return [
        (f"nasforge {name} {arguments}", about)
        for name, (arguments, about, possible) in following.items()
        if possible and name in known
    ]
