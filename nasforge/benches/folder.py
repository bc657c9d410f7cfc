"""The folder of one bench: a file per run of a searcher, and the summary of all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from nasforge.benches.standings import Group, Standing, standings, to_csv, to_markdown
from nasforge.errors import RunError
from nasforge.files import read_json, write_json, write_text
from nasforge.recipe import Recipe
from nasforge.runs.folder import differences, inputs_of
from nasforge.runs.lock import LOCK_FILES

__all__ = ["SEED", "BenchFolder", "bench_inputs"]

SEED = re.compile("[0-9]{1,20}")
"""Names of the files of results, without their suffix: the seed of the run."""

AGAIN = "Delete it to make its run again."
"""Advice about a damaged result."""


def bench_inputs(recipe: Recipe) -> dict[str, Any]:
    """Return the inputs that the results of a bench depend on, except seeds.

    Args:
        recipe: One with a ``[bench]`` table.
    """
    assert recipe.bench is not None, "the caller asks for a bench"
    tables = {
        k: v for k, v in inputs_of(recipe.resolved(), "data", "space", "distiller", "evaluator").items() if v
    }
    tables["run"] = {key: value for key, value in tables["run"].items() if key != "seed"}
    return {
        **tables,
        "baseline": recipe.bench.baseline.label,
        "budget": str(recipe.bench.budget),
        "metric": recipe.bench.metric,
        **({"hypervolume": volume.to_json()} if (volume := recipe.bench.hypervolume) else {}),
        "searchers": {
            e.label: {
                "use": e.plugin.name,
                **e.config.to_json(),
                **({"limits": dict(e.limits)} if e.limits else {}),
            }
            for e in recipe.bench.entrants
        },
    }


class BenchFile(BaseModel):
    """Shape of ``bench.json``, as far as it is read."""

    model_config = ConfigDict(extra="allow")

    baseline: str
    searchers: dict[str, dict[str, Any]]


class BenchRow(BaseModel):
    """Shape of the result of one run, as far as it is read."""

    model_config = ConfigDict(extra="allow")

    searcher: str
    seed: int
    score: float
    evaluations: float
    seconds: float | None
    metrics: dict[str, Any]


class BenchFolder:
    """One bench on disk; every file is written beside and renamed.

    Args:
        path: The folder, such as ``benches/my-table``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path / "bench.json"

    @property
    def inputs(self) -> dict[str, Any] | None:
        """The `bench_inputs` of the bench in this folder; None if it holds no bench."""
        advice = "Bring back a copy of it, or delete the folder and run the bench again."
        return read_json(self._file, BenchFile, advice) if self._file.exists() else None

    def claim(self, inputs: Mapping[str, Any], text: str) -> None:
        """Make the folder, or check that what it holds belongs to the same bench. New searchers may join it.

        Args:
            inputs: The result of `bench_inputs`.
            text: The recipe as its author wrote it.

        Raises:
            RunError: The folder belongs to another bench, or is something else.
        """
        known = self.inputs
        if known is None and any(file.name not in LOCK_FILES for file in self.path.iterdir()):
            raise RunError(
                f"{self.path}: exists and is not a bench. Choose another name with --set run.name=… or "
                "another place with --out."
            )
        searchers = dict(inputs["searchers"])
        if known is not None:
            old, new = dict(known), dict(inputs)
            kept = [label for label in known["searchers"] if self.read_results(label)]
            old["searchers"] = {label: known["searchers"][label] for label in kept if label in searchers}
            new["searchers"] = {k: v for k, v in inputs["searchers"].items() if k in old["searchers"]}
            if kept and (changed := [f"  - {line}" for line in differences(old, new)]):
                listed = "\n".join(changed)
                raise RunError(
                    f"{self.path}: belongs to another bench. These differ:\n{listed}\nChoose another name "
                    "with --set run.name=… or another place with --out. A searcher with other options can "
                    'join under another name: "LABEL = NAME".'
                )
            searchers = {**{label: known["searchers"][label] for label in kept}, **searchers}
        write_json(self._file, {**inputs, "searchers": searchers})
        write_text(self.path / "recipe.toml", text)

    def read_result(self, label: str, seed: int) -> dict[str, Any] | None:
        """Return the result of a run of a searcher; None if it is not over."""
        path = self._result(label, seed)
        return read_json(path, BenchRow, AGAIN) if path.exists() else None

    def store(self, label: str, seed: int, result: Mapping[str, Any]) -> None:
        """Write the result of a run."""
        write_json(self._result(label, seed), result)

    def work(self, label: str, seed: int) -> Path:
        """Return the folder of a run that is not over."""
        return self.path / "work" / f"{label}-{seed}"

    def read_results(self, label: str) -> list[dict[str, Any]]:
        """Return the results of all finished runs of a searcher, by seed."""
        paths = [p for p in (self.path / "runs" / label).glob("*.json") if SEED.fullmatch(p.stem)]
        return [read_json(path, BenchRow, AGAIN) for path in sorted(paths, key=lambda path: int(path.stem))]

    def summarise(self, labels: Sequence[str], seeds: Sequence[int], baseline: str) -> list[Standing]:
        """Write the table in three forms, and all runs as one, and return the table.

        Args:
            labels: The searchers, in order.
            seeds: Seeds of the runs.
            baseline: The searcher that the others are compared with.
        """
        rows = [row for label in labels for seed in seeds if (row := self.read_result(label, seed))]
        groups = []
        for label in labels:
            own = [row for row in rows if row["searcher"] == label]
            columns = ({row["seed"]: row[key] for row in own} for key in ("score", "evaluations", "seconds"))
            groups.append(Group(label, *columns))
        found = standings(groups, baseline)
        write_json(
            self.path / "summary.json",
            {"baseline": baseline, "seeds": list(seeds), "searchers": [s.to_json() for s in found]},
        )
        write_text(self.path / "summary.csv", to_csv(s.to_json() for s in found))
        write_text(self.path / "summary.md", to_markdown(found, baseline))
        shown = [
            {k: v for k, v in row.items() if k not in ("architecture", "curve", "own_seconds")}
            for row in rows
        ]
        write_text(self.path / "runs.csv", to_csv(shown))
        return found

    def _result(self, label: str, seed: int) -> Path:
        return self.path / "runs" / label / f"{seed}.json"
