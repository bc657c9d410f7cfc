"""Reports: from folders of runs and benches to one HTML file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nasforge.errors import RunError
from nasforge.files import write_text
from nasforge.report.bench_view import bench_view
from nasforge.report.compare_view import compare_view
from nasforge.report.page import Section, bench_sections, compare_sections, render_page, run_sections
from nasforge.report.reading import BenchRecord, RunRecord, read_folder
from nasforge.report.run_view import run_view

__all__ = ["REPORT", "make_report", "write", "write_after"]

REPORT = "report.html"
"""Name of the report in the folder of a run or a bench."""


def write(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write a report on runs and benches.

    Args:
        folders: Of runs and benches, finished or not; runs are shown side by side.
        out: The HTML file; None for ``report.html`` in the folder of a single run or bench, else here.

    Returns:
        The file.

    Raises:
        RunError: A folder is neither a run nor a bench, or the file cannot be written.
    """
    html = make_report(folders)
    if out is None:
        out = folders[0] / REPORT if len(folders) == 1 else Path(REPORT)
    try:
        write_text(out, html)
    except OSError as error:
        raise RunError(f"report: {out} cannot be written: {error.strerror}. Give another --out.") from None
    return out


def write_after(folder: Path) -> None:
    """Write the report of a run or a bench that is over. A failure is a warning: what was found is kept.

    Args:
        folder: Holds the run or bench, and gets the report.
    """
    try:
        write([folder], folder / REPORT)
    except Exception as error:
        reason = str(error) if isinstance(error, RunError) else repr(error)
        warnings.warn(
            f"report: could not be written: {reason} The results are complete. Try again: nasforge report "
            f"{folder}",
            stacklevel=2,
        )


def make_report(folders: Sequence[Path]) -> str:
    """Return a report on runs and benches as HTML; see `write`."""
    records = [read_folder(folder) for folder in dict.fromkeys(folders)]
    runs = [record for record in records if isinstance(record, RunRecord)]
    benches = [record for record in records if isinstance(record, BenchRecord)]
    parts: list[tuple[str, str, str, list[Section]]] = []
    if len(runs) == 1:
        one = run_view(runs[0])
        parts.append((one.record.name, one.subtitle, one.lead, run_sections(one)))
    elif runs:
        several = compare_view(runs)
        lead = f"{', '.join(several.names[:-1])} and {several.names[-1]}, side by side."
        parts.append((f"{len(runs)} runs", "comparison", lead, compare_sections(several)))
    for record in benches:
        view = bench_view(record)
        parts.append((record.name, view.subtitle, view.lead, bench_sections(view)))
    if len(parts) == 1:
        return render_page(*parts[0])
    sections = []
    for number, (name, _, _, own) in enumerate(parts, 1):
        for place, section in enumerate(own):
            short = section.short if place else f"{name}: {section.short}"
            sections.append(
                replace(section, id=f"{section.id}-{number}", title=f"{name}: {section.title}", name=short)
            )
    lead = " ".join(f"{name}: {about}" for name, _, about, _ in parts)
    return render_page(" and ".join(name for name, *_ in parts), "side by side", lead, sections)
