"""Folders of runs and benches, read as they are: unfinished ones, and damaged files, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import BytesIO
from pathlib import Path
from typing import Any

from nasforge.benches.folder import SEED, BenchFolder
from nasforge.errors import CheckpointError, RunError
from nasforge.files import read_json
from nasforge.plugins.masking import mask_options, mask_text
from nasforge.report.shapes import (
    shaped_choices,
    shaped_result,
    shaped_rows,
    shaped_runs,
    shaped_trajectory,
)
from nasforge.rows import parse_row
from nasforge.runs.folder import CHOICES, GRAPHS, PREDICTIONS, TRAJECTORY, RunFolder
from nasforge.runs.scope import DERIVE, SEARCH, TEST
from nasforge.stages import STAGES

__all__ = ["BenchRecord", "Row", "RunRecord", "read_bench", "read_folder", "read_run"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """Everything a run folder has for a report.

    Attributes:
        folder: The folder.
        name: Its name.
        resolved: The complete recipe.
        recipe: The recipe as its author wrote it; empty if that is not kept.
        results: Content of ``result.json`` by stage, of finished stages in order.
        missing: Names of the stages that are not finished.
        metrics: Rows of ``metrics.jsonl``.
        trajectory: Rows of ``trajectory.jsonl``.
        choices: The choices of the space, with ``name``, ``options`` and ``kind``.
        graphs: Drawings of the found architectures: ``best`` and ``front``.
        predictions: Mistakes of the network on the test images; empty if they were not recorded.
        export: The exported formats; empty if there are none.
        environment: Versions and hardware.
        problems: Files that could not be read, as sentences.
    """

    folder: Path
    name: str
    resolved: Mapping[str, Any]
    recipe: str
    results: Mapping[str, Row]
    missing: tuple[str, ...]
    metrics: Sequence[Row]
    trajectory: Sequence[Row]
    choices: Sequence[Row]
    graphs: Mapping[str, Any]
    predictions: Row
    export: Row
    environment: Row
    problems: tuple[str, ...]

    def rows(self, stage: str) -> list[Row]:
        """Return the metrics of a stage."""
        return [row for row in self.metrics if row["stage"] == stage]

    def first(self, key: str) -> Any:
        """Return the value of the first stage that reports a key; None if no stage does."""
        return next((result[key] for result in self.results.values() if result.get(key) is not None), None)


@dataclass(frozen=True)
class BenchRecord:
    """Everything the folder of a bench has for a report.

    Attributes:
        folder: The folder.
        name: Its name.
        inputs: Everything that the results depend on; see `nasforge.benches.folder.bench_inputs`.
        recipe: The recipe as its author wrote it.
        runs: Results of the finished runs by searcher, in order.
        environment: Versions and hardware.
        problems: Files that could not be read, as sentences.
    """

    folder: Path
    name: str
    inputs: Mapping[str, Any]
    recipe: str
    runs: Mapping[str, Sequence[Row]]
    environment: Row
    problems: tuple[str, ...]


class _Reader:
    """Reads files of one folder, and notes what cannot be read.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def object(self, *place: str) -> dict[str, Any]:
        """Return the JSON object in a file; empty if there is none."""
        path = self.folder.joinpath(*place)
        try:
            found = read_json(path) if path.is_file() else {}
        except (CheckpointError, OSError):
            self.problems.append(f"{'/'.join(place)} cannot be read as JSON. It is left out.")
            return {}
        if not isinstance(found, dict):
            self.problems.append(f"{'/'.join(place)} does not hold a JSON object. It is left out.")
            return {}
        return found

    def lines(self, *place: str) -> list[Row]:
        """Return the rows of a file of JSON lines; damaged lines are left out."""
        found: list[Row] = []
        damaged = []
        path = self.folder.joinpath(*place)
        try:
            with path.open("rb") if path.is_file() else BytesIO() as file:
                for number, line in enumerate(file, 1):
                    try:
                        row = parse_row(line)
                    except (ValueError, RecursionError):
                        row = None
                    if isinstance(row, dict):
                        found.append(row)
                    elif line.strip():
                        damaged.append(number)
        except OSError as error:
            self.problems.append(f"{'/'.join(place)} cannot be read: {error.strerror}.")
        if damaged:
            some = ", ".join(map(str, damaged[:5])) + (", …" if len(damaged) > 5 else "")
            lines = f"line {some}" if len(damaged) == 1 else f"{len(damaged)} lines ({some})"
            self.problems.append(f"{'/'.join(place)}: {lines} cannot be read. The other rows are shown.")
        return found

    def text(self, *place: str) -> str:
        """Return the text of a file; empty if there is none."""
        path = self.folder.joinpath(*place)
        try:
            return path.read_text(encoding="utf8", errors="replace") if path.is_file() else ""
        except OSError as error:
            self.problems.append(f"{'/'.join(place)} cannot be read: {error.strerror}.")
            return ""


def read_folder(path: Path) -> RunRecord | BenchRecord:
    """Read the folder of a run or a bench.

    Raises:
        RunError: It is neither.
    """
    if (path / "bench.json").is_file():
        return read_bench(path)
    if (path / "resolved.json").is_file():
        return read_run(path)
    if not path.exists():
        raise RunError(f"{path}: there is no such folder.{_nearest(path)}")
    raise RunError(f"{path}: is neither a run nor a bench (no resolved.json, no bench.json).{_inside(path)}")


def read_run(path: Path) -> RunRecord:
    """Read the folder of a run.

    Raises:
        RunError: Its recipe cannot be read, so it is not known what was run.
    """
    reader = _Reader(path)
    resolved = reader.object("resolved.json")
    if not isinstance(resolved.get("run"), Mapping):
        raise RunError(
            f"{path / 'resolved.json'}: cannot be read, so it is not known what was run. "
            "Put a copy of it back, or run the recipe again."
        )
    needed = [stage.name for stage in STAGES if stage.needed(resolved)]
    stored = {name: reader.object(name, "result.json") for name in needed}
    results = {name: shaped_result(result) for name, result in stored.items() if result}
    return RunRecord(
        folder=path,
        name=path.resolve().name,
        resolved=mask_options(resolved),
        recipe=mask_text(reader.text("recipe.toml")),
        results=results,
        missing=tuple(name for name in needed if name not in results),
        metrics=shaped_rows(reader.lines(RunFolder(path).metrics.path.name)),
        trajectory=shaped_trajectory(reader.lines(SEARCH.stage, TRAJECTORY)),
        choices=shaped_choices(reader.object(SEARCH.stage, CHOICES).get("choices")),
        graphs=reader.object(DERIVE.stage, GRAPHS),
        predictions=reader.object(TEST.stage, PREDICTIONS),
        export=_exported(reader, stored),
        environment=reader.object("environment.json"),
        problems=tuple(reader.problems),
    )


def _exported(reader: _Reader, stored: Mapping[str, Row]) -> Row:
    """Return the result that lists exported formats; a command may have made it for a recipe without."""
    others = sorted(path.parent.name for path in reader.folder.glob("*/result.json"))
    # A name with a dot is that of a stage that was set aside.
    more = (reader.object(name, "result.json") for name in others if name not in stored and "." not in name)
    return next((result for result in (*stored.values(), *more) if "formats" in result), {})


def read_bench(path: Path) -> BenchRecord:
    """Read the folder of a bench; runs that cannot be read are left out.

    Raises:
        RunError: It is not known what was compared.
    """
    reader = _Reader(path)
    inputs = reader.object("bench.json")
    if not isinstance(inputs.get("searchers"), Mapping):
        raise RunError(f"{path / 'bench.json'}: cannot be read, so it is not known what was compared.")
    runs: dict[str, list[Row]] = {}
    for label in inputs["searchers"]:
        found = [file for file in (path / "runs" / label).glob("*.json") if SEED.fullmatch(file.stem)]
        files = sorted(found, key=lambda file: int(file.stem))
        rows = [reader.object("runs", label, file.name) for file in files]
        runs[label] = shaped_runs(rows)
    return BenchRecord(
        folder=path,
        name=BenchFolder(path).path.resolve().name,
        inputs=mask_options(inputs),
        recipe=mask_text(reader.text("recipe.toml")),
        runs=runs,
        environment=reader.object("environment.json"),
        problems=tuple(reader.problems),
    )


def _is_record(path: Path) -> bool:
    return (path / "resolved.json").is_file() or (path / "bench.json").is_file()


def _inside(path: Path) -> str:
    found = sorted(str(child) for child in path.iterdir() if _is_record(child)) if path.is_dir() else []
    return f" It holds {', '.join(found[:5])}: give these." if found else " Give the folder that one made."


def _nearest(path: Path) -> str:
    folder = path.parent
    names = [child.name for child in folder.iterdir() if _is_record(child)] if folder.is_dir() else []
    close = get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f" Did you mean '{folder / close[0]}'?" if close else " Give the folder that a run or bench made."
