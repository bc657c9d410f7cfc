"""How close forecasts of runs are: each recipe is forecast, run, and compared stage by stage.

    python -m benchmarks.forecasts quickstart 'cdarts_cifar10 --profile cpu --set data.use="synthetic"'

Seconds are processor time of one thread, which other programs on the computer do not change. A forecast made
before the search times random architectures in place of the one that will be trained; the one made before the
training knows it. Both are compared.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nasforge.observer import Observer, Observers
from nasforge.plugins import Registry
from nasforge.recipe import load
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.runtime.environment import processor_name
from nasforge.stages.forecast import Forecaster
from nasforge.stages.runner import Run, run_stages


class _Seconds(Observer[Any]):
    """Processor time of every stage, and the forecasts."""

    def __init__(self) -> None:
        super().__init__()
        self.forecasts: list[dict[str, float | None]] = []
        self.took: dict[str, float] = {}
        self.walls: dict[str, float] = {}

    def forecast(self, forecast: Mapping[str, Any]) -> None:
        self.forecasts.append({stage["stage"]: stage["seconds"] for stage in forecast["stages"]})

    def stage_start(self, stage: str, done: int, total: int | None) -> None:
        self._started, self._wall = time.process_time(), time.perf_counter()

    def stage_end(self, stage: str, result: Mapping[str, Any], skipped: bool) -> None:
        self.took[stage] = time.process_time() - self._started
        self.walls[stage] = time.perf_counter() - self._wall


def compare(line: str) -> list[dict[str, Any]]:
    """Forecast a recipe and run it; return a row per stage.

    Args:
        line: Name or path of the recipe with ``--profile`` and ``--set``, as for ``nasforge run``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("--profile")
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args(shlex.split(line))
    registry = Registry.discover()
    recipe = load(asked.recipe, registry, profile=asked.profile, overrides=[*asked.set, "run.threads=1"])
    torch.set_num_threads(1)
    seconds = _Seconds()
    observers = Observers([seconds])
    with tempfile.TemporaryDirectory() as folder:
        run = Run(recipe, RunFolder(Path(folder) / "run"), Runtime.of(recipe.run), observers)
        observers.setup(run.folder.path)
        forecaster = Forecaster(observers, lambda name: recipe, clock=time.process_time)
        run_stages(run, announce=forecaster.announce)
    first, last = seconds.forecasts[0], seconds.forecasts[-1]
    stages = [stage for stage in first if first[stage] is not None]
    rows = [
        {
            "run": line,
            "stage": stage,
            "forecast": first[stage],
            "with_architecture": last.get(stage),
            "took": seconds.took[stage],
            "wall": seconds.walls[stage],
        }
        for stage in stages
    ]
    total = {key: sum(row[key] or 0.0 for row in rows) for key in ("forecast", "took", "wall")}
    later = sum(row["with_architecture"] or row["forecast"] for row in rows)
    return [*rows, {"run": line, "stage": "all", "with_architecture": later, **total}]


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.1f}"


def main() -> None:
    """Compare the recipes of the command line, and print a table and JSON lines."""
    print(f"{processor_name()}, torch {torch.__version__}, one thread")
    for line in sys.argv[1:]:
        for row in compare(line):
            print(json.dumps(row), flush=True)
            cells = [row["stage"], row["forecast"], row["with_architecture"], row["took"]]
            print("| " + " | ".join(map(_cell, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
