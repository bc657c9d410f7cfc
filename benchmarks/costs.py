"""Times of the shipped recipes and their profiles, for ``nasforge recipes list``.

    python -m benchmarks.costs quickstart 'cdarts_cifar10:cpu' 'cdarts_cifar10:'

A time is derived: the units of work of every stage times the processor time of a unit, which is measured
here with one thread. It replaces the entry of ``recipes/costs.json``. CIFAR images are replaced by synthetic
ones of the same number and size.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from nasforge.observer import Observers
from nasforge.plugins import Registry
from nasforge.recipe import check, load
from nasforge.recipe.shipped import find_shipped
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.runtime.environment import processor_name
from nasforge.stages import STAGES
from nasforge.stages.forecast import forecast_run
from nasforge.stages.runner import Run

FILE = Path(__file__).parents[1] / "recipes" / "costs.json"
CIFAR = {"cifar10": 10, "cifar100": 100}


def derive(name: str, profile: str) -> dict[str, Any]:
    """Forecast a shipped recipe on this computer.

    Args:
        name: Name of the recipe.
        profile: Name of the profile; empty for none.
    """
    registry = Registry.discover()
    tables = load(name, registry, profile=profile or None).resolved()
    data = tables.get("data", {})
    if data.get("use") in CIFAR:
        tables["data"] = {
            "use": "synthetic",
            "num_classes": CIFAR[data["use"]],
            "train_images": data["limit_train"] or 50_000,
            "test_images": data["limit_test"] or 10_000,
            **{key: data[key] for key in ("image_size", "batch_size", "arch_share") if data.get(key)},
        }
    tables["run"] |= {"threads": 1, "device": "cpu"}
    recipe = check(tables, registry)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(recipe, RunFolder(Path(folder)), Runtime.of(recipe.run), Observers(()))
        stages = [stage for stage in STAGES if stage.needed({*recipe.parts, *run.resolved})]
        forecast = forecast_run(run, stages, time.process_time)
    found = {stage.stage: stage.seconds for stage in forecast.stages}
    return {"how": "derived", "seconds": forecast.seconds, "stages": found}


def main() -> None:
    """Derive the times that the command line names, and store each at once."""
    for asked in sys.argv[1:]:
        name, _, profile = asked.partition(":")
        assert find_shipped(name), name
        entry = derive(name, profile)
        stored = json.loads(FILE.read_text(encoding="utf8")) if FILE.exists() else {"costs": {}}
        stored["machine"] = f"{processor_name()}, torch {torch.__version__}, one thread"
        entry["date"] = datetime.now(UTC).date().isoformat()
        stored["costs"].setdefault(name, {})[profile] = entry
        stored["costs"] = dict(sorted(stored["costs"].items()))
        FILE.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf8")
        print(asked, entry, flush=True)


if __name__ == "__main__":
    main()
