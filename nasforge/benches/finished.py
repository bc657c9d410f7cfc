"""Finished runs and the runs of benches, read from their folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasforge.benches.folder import BenchFolder
from nasforge.errors import RunError
from nasforge.files import read_json
from nasforge.recipe.bench_table import CEILING
from nasforge.runs.folder import RESTORE, RunFolder
from nasforge.runs.scope import SEARCH
from nasforge.runs.stored import ResolvedFile
from nasforge.stages import STAGES, Stage

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["TABLES", "Finished", "read_folder"]

TABLES = ("space", "data", "distiller", "evaluator", "train", "constraints", "budget", "run")
"""The setup of a run: everything but searcher and seed. Runs of another setup get a line of their own."""


@dataclass(frozen=True)
class Finished:
    """One run of one searcher.

    Attributes:
        folder: Where it is.
        label: Name of its searcher.
        options: The searcher's options.
        seed: Its seed.
        tables: Its setup, by the names of `TABLES`.
        metrics: Its results: ``"accuracy"`` on the test images, ``"score"`` of the evaluator, what a table
            knows of the architecture, ``"params"`` and ``"macs"``.
        evaluations: How many evaluations it made, if that is known.
        seconds: Their cost, if known.
        baseline: The baseline of its bench, if it belongs to one.
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
        raise RunError(f"{path}: is not finished. Resume it: nasforge run {path}")
    rows = [row for row in run.metrics.rows() if row.get("stage") == SEARCH.stage]
    options = {key: value for key, value in resolved["searcher"].items() if key not in ("use", "evaluations")}
    evaluations = resolved["searcher"].get("evaluations")
    return [
        Finished(
            path,
            resolved["searcher"]["use"],
            options,
            resolved["run"]["seed"],
            _setup({**resolved, "budget": None if evaluations is None else f"{evaluations} evaluations"}),
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
                    _setup(inputs),
                    {**numbers, "score": row["score"]},
                    row["evaluations"],
                    row["seconds"],
                    inputs["baseline"],
                )
            )
    if not found:
        raise RunError(f"{bench.path}: holds no finished run yet. Resume the bench first.")
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


def _setup(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `TABLES` names, without the seed."""
    run = {key: value for key, value in tables["run"].items() if key != "seed"}
    return {**{table: tables.get(table) for table in TABLES}, "run": run}
