"""The parts of a report on several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nasforge.benches.compare import compare_folders
from nasforge.benches.standings import cells, head
from nasforge.errors import NasforgeError
from nasforge.report.cells import Drawing, draw_graphs
from nasforge.report.charts import Series
from nasforge.report.departures import MISSING, differing, options_of
from nasforge.report.findings import COSTS_IN_WORDS, Finding, decision, find
from nasforge.report.numbers import NOTHING, duration, plain
from nasforge.report.panels import Legend, Panel, colour_class, overlaid_panels, panel
from nasforge.report.reading import RunRecord
from nasforge.report.run_view import RunView, accuracies, option_text, run_view
from nasforge.runs.scope import SEARCH, TRAIN

__all__ = ["CompareView", "Pairing", "compare_view", "pair"]

AS_NAMED = ("run.name", "run.report")
"""Options whose difference says nothing about a run."""


@dataclass(frozen=True)
class Pairing:
    """Searchers side by side, paired by seed.

    Attributes:
        metric: The compared number.
        head: Names of the columns.
        rows: A row per searcher.
        notes: Cautions for the reader.
        problem: Why the runs are not comparable; empty if they are.
    """

    metric: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class CompareView:
    """Values for the template of several runs."""

    names: list[str]
    legend: list[Legend]
    results: list[tuple[str, ...]]
    pairing: Pairing
    differences: list[tuple[str, ...]]
    unlike: list[tuple[str, ...]]
    search: list[Panel]
    train: list[Panel]
    cells: list[tuple[str, str, list[Drawing]]]
    findings: list[Finding]
    views: list[RunView]


def compare_view(records: Sequence[RunRecord]) -> CompareView:
    """Prepare everything that a report shows of several runs.

    Args:
        records: The runs, in the order of their colours.
    """
    names = _names(records)
    decided = panel("entropy of the option weights, 1 is undecided", _entropies(names, records), "step")
    shown = ("entropy", "confidence") if decided else ()
    rows = {n: r.rows(SEARCH.stage) for n, r in zip(names, records, strict=True)}
    search = overlaid_panels(rows, "step", skip=shown)
    differences, unlike = _differences(records)
    findings = [
        replace(finding, run=name)
        for name, record in zip(names, records, strict=True)
        for finding in find(record)
    ]
    return CompareView(
        names=names,
        legend=[Legend(name, colour_class(colour)) for colour, name in enumerate(names)],
        results=_results(records),
        pairing=_pair_finished(records),
        differences=differences,
        unlike=unlike,
        search=search + ([decided] if decided else []),
        train=overlaid_panels({n: r.rows(TRAIN.stage) for n, r in zip(names, records, strict=True)}, "epoch"),
        cells=[
            (name, str(record.first("notation") or ""), draw_graphs(record.graphs.get("best"), f"run{i}"))
            for i, (name, record) in enumerate(zip(names, records, strict=True))
        ],
        findings=sorted(findings, key=lambda finding: finding.kind != "warning"),
        views=[run_view(record) for record in records],
    )


def pair(folders: Sequence[Path]) -> Pairing:
    """Compare runs and benches as ``nasforge compare`` does; those that are not comparable with a reason.

    Args:
        folders: Of runs and benches.
    """
    try:
        found = compare_folders(folders)
    except NasforgeError as error:
        return Pairing(problem=str(error).removeprefix("compare: "))
    except (AttributeError, KeyError, TypeError, ValueError):  # what other versions or people wrote
        return Pairing(problem="A result has another form than expected, so these runs cannot be paired.")
    rows = tuple(cells(standing) for standing in found.standings)
    notes = tuple(note for note in found.notes if not note.startswith("differs: "))
    apart = [f"  - {note.removeprefix('differs: ')}" for note in found.notes if note not in notes]
    problem = "\n".join(["these runs differ in more than searcher and seed:", *apart]) if apart else ""
    return Pairing(found.metric, head(found.baseline), rows, notes, problem)


def _pair_finished(records: Sequence[RunRecord]) -> Pairing:
    """Compare the runs that are finished."""
    finished = [record.folder for record in records if not record.missing]
    left_out = [record.name for record in records if record.missing]
    if len(finished) < 2:
        return Pairing(
            problem=f"Fewer than two of these runs are finished; not finished: {', '.join(left_out)}."
        )
    found = pair(finished)
    note = f"Left out, because not finished: {', '.join(left_out)}."
    return replace(found, notes=(*found.notes, note)) if left_out else found


def _differences(records: Sequence[RunRecord]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return a row per option that differs, and apart from them the options of one plugin at their defaults.

    Runs with other plugins have other options; only those that were set tell something.
    """
    options = [{one.name: one for one in options_of(record.resolved)} for record in records]
    shown: list[tuple[str, ...]] = []
    unlike: list[tuple[str, ...]] = []
    for name, values in differing([record.resolved for record in records]):
        if name in AS_NAMED:
            continue
        there = [
            own[name]
            for own, value in zip(options, values, strict=True)
            if value is not MISSING and name in own
        ]
        defaults = len(there) < len(values) and not any(one.departs or one.required for one in there)
        (unlike if defaults else shown).append((name, *map(option_text, values)))
    return shown, unlike


def _names(records: Sequence[RunRecord]) -> list[str]:
    """Return a name per run; the folder tells apart runs of one name."""
    names = [record.name for record in records]
    return [record.name if names.count(record.name) == 1 else str(record.folder) for record in records]


def _results(records: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """Return a row of texts per measurement, with a column per run."""
    measured = [accuracies(record) for record in records]
    rows: list[tuple[str, ...]] = []
    for name in dict.fromkeys(name for one in measured for name in one):
        texts = (f"{one[name]:.2f} %" if name in one else NOTHING for one in measured)
        rows.append((name, *texts))
    scores = [[row["best_score"] for row in r.rows(SEARCH.stage) if "best_score" in row] for r in records]
    if any(scores):
        rows.append(("best score", *(plain(own[-1], 5) if own else NOTHING for own in scores)))
    for key, words in COSTS_IN_WORDS.items():
        values = [record.first(key) for record in records]
        if any(isinstance(value, int | float) for value in values):
            rows.append((words, *(plain(v) if isinstance(v, int | float) else NOTHING for v in values)))
    stages = dict.fromkeys(stage for record in records for stage in record.results)
    for stage in stages:
        seconds = [record.results.get(stage, {}).get("seconds") for record in records]
        texts = (duration(s) if isinstance(s, int | float) else NOTHING for s in seconds)
        rows.append((f"time, {stage}", *texts))
    return rows


def _entropies(names: Sequence[str], records: Sequence[RunRecord]) -> list[Series]:
    found = []
    for colour, (name, record) in enumerate(zip(names, records, strict=True)):
        weighted = [
            (row["step"], decision(row["weights"])) for row in record.trajectory if row.get("weights")
        ]
        found.append(Series(name, [(step, one.entropy) for step, one in weighted if one], colour))
    return found
