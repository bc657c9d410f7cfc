"""Finished runs and benches, read from their folders and compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.benches.folder import BenchFolder
from nasforge.benches.standings import Group, Standing, standings
from nasforge.errors import RunError, suggest
from nasforge.files import read_json
from nasforge.plugins import Registry
from nasforge.recipe.bench_table import CEILING, installed_baselines
from nasforge.recipe.toml_text import to_toml
from nasforge.runs.folder import RESTORE, RunFolder, differences
from nasforge.runs.scope import SEARCH
from nasforge.runs.stored import ResolvedFile
from nasforge.stages import STAGES, Stage

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Comparison", "Finished", "compare_folders", "read_folder"]

TABLES = ("space", "data", "evaluator", "train", "constraints", "budget")
"""What must be equal in all runs: they are comparable if nothing but searcher and seed differs."""


@dataclass(frozen=True)
class Finished:
    """One run of one searcher.

    Attributes:
        folder: Where it is.
        label: What its searcher is called.
        options: The searcher's options.
        seed: Its seed.
        tables: What must be equal in runs that are compared, by the names of `TABLES`.
        metrics: What it found: ``"accuracy"`` on the test images, ``"score"`` of the evaluator, what a table
            knows of the architecture, ``"params"`` and ``"macs"``.
        evaluations: How many evaluations it made, if that is known.
        seconds: What they cost, if that is known.
        baseline: What its bench compares with, if it belongs to one.
    """

    folder: Path
    label: str
    options: Mapping[str, Any]
    seed: int
    tables: Mapping[str, Any]
    metrics: Mapping[str, float]
    evaluations: float | None = None
    seconds: float | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Searchers side by side.

    Attributes:
        metric: What is compared.
        baseline: The searcher that the others are compared with.
        standings: A line per searcher.
        notes: What to bear in mind when reading it.
    """

    metric: str
    baseline: str
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = field(default=())


def compare_folders(
    paths: Sequence[Path], metric: str | None = None, baseline: str | None = None, allow: Iterable[str] = ()
) -> Comparison:
    """Compare the searchers of runs and benches, paired by seed.

    Args:
        paths: Folders of finished runs, or of benches.
        metric: What to compare; None for the first of test accuracy, score and what a table knows that every
            run has.
        baseline: What to compare with; None for the baseline of a bench, an installed searcher that provides
            `nasforge.searcher.BaselineSearcher`, or the first.
        allow: Which of `TABLES` may differ.

    Raises:
        RunError: A folder is none of these, the runs are not comparable, or a name is unknown.
    """
    runs = [run for path in paths for run in read_folder(path)]
    allowed = tuple(allow)
    if unknown := [name for name in allowed if name not in TABLES]:
        raise RunError(f"compare: --allow {unknown[0]}: no such table.{suggest(unknown[0], TABLES)}")
    notes = _check_comparable(runs, allowed)
    named = _named(runs)
    chosen = _metric(runs, metric)
    groups = []
    for name, members in named.items():
        groups.append(
            Group(
                name,
                {run.seed: run.metrics[chosen] for run in members},
                {run.seed: run.evaluations for run in members if run.evaluations is not None},
                {run.seed: run.seconds for run in members if run.seconds is not None},
            )
        )
    first = _baseline(runs, list(named), baseline)
    found = standings(groups, first)
    for standing in found:
        if standing.name != first and standing.difference is None:
            notes.append(f"{standing.name} and {first} have no seed in common, so they are not paired.")
        elif standing.difference and standing.difference.pairs == 1:
            notes.append(f"{standing.name} and {first} have one seed in common: that shows no difference.")
    return Comparison(chosen, first, tuple(found), tuple(notes))


def read_folder(path: Path) -> list[Finished]:
    """Read a finished run, or every run of a bench.

    Raises:
        RunError: The folder is neither, or the run is not finished.
    """
    bench, run = BenchFolder(path), RunFolder(path)
    if (inputs := bench.inputs) is not None:
        return _bench_runs(bench, inputs)
    if run.resolved is None:
        raise RunError(f"{path}: is neither a run nor a bench. Give the folder that one of them made.")
    resolved = read_json(path / "resolved.json", ResolvedFile, RESTORE)
    stages = [stage for stage in STAGES if stage.compared and stage.needed(resolved)]
    results = [_stored(run.stage(stage.name) / "result.json", stage.shape) for stage in stages]
    if not all(results):
        raise RunError(f"{path}: is not finished. Go on with it: nasforge run {path}")
    rows = [row for row in run.metrics.rows() if row.get("stage") == SEARCH.stage]
    options = {key: value for key, value in resolved["searcher"].items() if key not in ("use", "evaluations")}
    evaluations = resolved["searcher"].get("evaluations")
    return [
        Finished(
            path,
            resolved["searcher"]["use"],
            options,
            resolved["run"]["seed"],
            {**resolved, "budget": None if evaluations is None else f"{evaluations} evaluations"},
            _numbers(zip(stages, results, strict=True), rows[-1] if rows else {}),
            evaluations,
        )
    ]


def _bench_runs(bench: BenchFolder, inputs: Mapping[str, Any]) -> list[Finished]:
    found = []
    for label, searcher in inputs["searchers"].items():
        options = {k: v for k, v in searcher.items() if k != "use" and v != CEILING}
        for row in bench.read_results(label):
            numbers = {k: v for k, v in row["metrics"].items() if isinstance(v, int | float)}
            found.append(
                Finished(
                    bench.path,
                    label,
                    options,
                    row["seed"],
                    inputs,
                    {**numbers, "score": row["score"]},
                    row["evaluations"],
                    row["seconds"],
                    inputs["baseline"],
                )
            )
    if not found:
        raise RunError(f"{bench.path}: holds no finished run yet. Go on with the bench first.")
    return found


def _stored(path: Path, shape: type[BaseModel]) -> dict[str, Any]:
    return read_json(path, shape) if path.exists() else {}


def _numbers(results: Iterable[tuple[Stage, Mapping[str, Any]]], row: Mapping[str, Any]) -> dict[str, float]:
    """Merge the numbers of all stages, later ones over earlier ones, and the last score of the search."""
    merged: dict[str, Any] = {}
    for stage, result in results:
        merged |= stage.numbers(result)
    if "best_score" in row:
        merged["score"] = row["best_score"]
    return {k: v for k, v in merged.items() if isinstance(v, int | float) and k not in ("seconds", "index")}


def _check_comparable(runs: Sequence[Finished], allowed: Sequence[str]) -> list[str]:
    """Raise what differs and may not; return what differs and may."""
    first = runs[0]
    problems: list[str] = []
    notes: list[str] = []
    for run in runs[1:]:
        for table in TABLES:
            one, other = first.tables.get(table), run.tables.get(table)
            found = notes if table in allowed else problems
            places = {"there": f"in {first.folder}", "here": f"in {run.folder}"}
            found += differences({table: one}, {table: other}, **places)
    if problems:
        listed = "\n".join(f"  - {line}" for line in dict.fromkeys(problems))
        raise RunError(
            f"compare: these runs differ in more than searcher and seed:\n{listed}\n"
            "Compare runs that are alike, or accept a table's differences with --allow TABLE."
        )
    return [f"differs: {line}" for line in dict.fromkeys(notes)]


def _named(runs: Sequence[Finished]) -> dict[str, list[Finished]]:
    """Sort runs by searcher; searchers of one name are told apart by options that differ, then by folder."""
    alike: dict[tuple[str, str], list[Finished]] = {}
    for run in runs:
        alike.setdefault((run.label, to_toml(dict(run.options))), []).append(run)
    groups: dict[tuple[str, str, str], list[Finished]] = {}
    for (label, options), members in alike.items():
        # Two benches may hold the same searcher with the same seeds: from before and after a change.
        split = len({run.seed for run in members}) < len(members)
        for run in members:
            origin = str(run.folder) if split and run.baseline is not None else ""
            group = groups.setdefault((label, options, origin), [])
            if twins := [other for other in group if other.seed == run.seed]:
                raise RunError(
                    f"compare: {twins[0].folder} and {run.folder} are both {label!r} with seed {run.seed}. "
                    "Leave one out, or run it with another seed."
                )
            group.append(run)
    found: dict[str, list[Finished]] = {}
    for (label, _, origin), members in groups.items():
        mine = members[0].options
        others = [rs[0].options for (other, *_), rs in groups.items() if other == label]
        parts = [f"{k} = {to_toml(v)}" for k, v in mine.items() if any(o.get(k) != v for o in others)]
        parts += [origin] if origin else []
        found[f"{label} ({', '.join(parts)})" if parts else label] = members
    return found


def _metric(runs: Sequence[Finished], wanted: str | None) -> str:
    common = set(runs[0].metrics).intersection(*(run.metrics for run in runs))
    if wanted is not None:
        if wanted not in common:
            raise RunError(f"compare: not every run has a number {wanted!r}.{suggest(wanted, common)}")
        return wanted
    tables = sorted(name for name in common if name.endswith("valid_accuracy"))
    for name in ("accuracy", "score", *tables):
        if name in common:
            return name
    raise RunError("compare: these runs have neither a test accuracy nor a score in common. Give --metric.")


def _baseline(runs: Sequence[Finished], names: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in names:
            raise RunError(f"compare: --baseline {wanted}: no such searcher here.{suggest(wanted, names)}")
        return wanted
    proposed = [*(run.baseline for run in runs if run.baseline), *installed_baselines(Registry.discover())]
    labelled = (
        name for label in proposed for name in names if name == label or name.startswith(f"{label} (")
    )
    return next(labelled, names[0])
