"""Times of the shipped recipes and their profiles, for ``nasforge recipes list``.

    python -m benchmarks.costs --seconds 60                           # all that have no time yet
    python -m benchmarks.costs quickstart 'cdarts_cifar10:cpu' 'cdarts_cifar10:'
    python -m benchmarks.costs --seconds 1800 --long 0                # those with slow steps, each timed once

A time is derived: the units of work of every stage times the processor time of a unit, which is measured
here with one thread. It replaces the entry of ``recipes/costs.json``, at once, so the command can be stopped
at any time, and continues with what is left. A profile that cannot be timed is kept there under ``missing``,
with the reason. CIFAR images are replaced by synthetic ones of the same number and size. Recipes that differ
only in their search share the times of their trainings and tests.
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from nasforge.errors import NasforgeError
from nasforge.files import write_json
from nasforge.observer import Observers
from nasforge.plugins import Registry
from nasforge.recipe import check, load
from nasforge.recipe.shipped import find_shipped, shipped_recipes
from nasforge.runs.folder import RunFolder
from nasforge.runtime import Runtime
from nasforge.runtime.environment import processor_name
from nasforge.stages import STAGES
from nasforge.stages.forecast import forecast_run
from nasforge.stages.runner import Run

FILE = Path(__file__).parents[1] / "recipes" / "costs.json"
CIFAR = {"cifar10": 10, "cifar100": 100}

ONCE = 4.0
"""Seconds of a unit that is timed once, unless ``--long`` says otherwise; shorter units are repeated."""

SEARCH_DATA = {"batch_size", "arch_share", "select_share", "split_by"}
"""Options of the images that only a search depends on."""


def training_key(tables: dict[str, Any]) -> str:
    """Return the part of a recipe that the work of its training and its test depends on.

    Args:
        tables: The resolved tables of the recipe.
    """
    train = tables.get("train") or {}
    ignored = SEARCH_DATA if train.get("batch_size") else SEARCH_DATA - {"batch_size"}
    data = {key: value for key, value in tables.get("data", {}).items() if key not in ignored}
    shared = {key: tables.get(key) for key in ("space", "constraints", "test")}
    return json.dumps({**shared, "train": train, "data": data}, sort_keys=True)


def derive(name: str, profile: str, trainings: dict[str, dict[str, float]], once: float) -> dict[str, Any]:
    """Forecast a shipped recipe on this computer.

    Args:
        name: Name of the recipe.
        profile: Name of the profile; empty for none.
        trainings: Seconds of the stages after the search, by `training_key`; those of this recipe are added.
        once: Seconds of a unit that is timed once.
    """
    registry = Registry.discover()
    tables = load(name, registry, profile=profile or None).resolved()
    if name.startswith("bench_"):
        raise NasforgeError("a bench of many searches takes as long as its budget")
    if tables.get("data", {}).get("use") == "imagenet":
        raise NasforgeError("the images of ImageNet are not on that computer")
    key, data = training_key(tables), tables.get("data", {})
    known = trainings.get(key, {})
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
        left = [stage for stage in stages if stage.name not in known]
        forecast = forecast_run(run, left, time.process_time, once)
    found = {stage.stage: stage.seconds for stage in forecast.stages} | known
    if unknown := ", ".join(stage for stage, seconds in found.items() if seconds is None):
        raise NasforgeError(f"{name}: the work of {unknown} is unknown.")
    if "train" in found:
        trainings[key] = {stage: seconds for stage, seconds in found.items() if stage != "search"}
    return {"how": "derived", "seconds": sum(found.values()), "stages": found}


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """Stop the block after this much processor time of the process, with a TimeoutError.

    Args:
        seconds: The limit.
    """
    reached = TimeoutError(f"a few units of every stage take over {seconds:g} s of processor time")
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        raise reached

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    except Exception as error:
        if stopped and error is not reached:  # a library reports the alarm as a failure of its own
            raise reached from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def untimed(stored: dict[str, Any]) -> list[str]:
    """Return the recipes and profiles without a time, as on the command line, the shortest kinds first."""
    known = {(name, profile) for name, profiles in stored["costs"].items() for profile in profiles}
    pairs = [(recipe.name, profile) for recipe in shipped_recipes() for profile in ("", *recipe.profiles)]
    order = {"smoke": 0, "cpu": 1}
    left = sorted((pair for pair in pairs if pair not in known), key=lambda pair: order.get(pair[1], 2))
    return [":".join(pair) for pair in left]


def main() -> None:
    """Derive the times that the command line names, or all that are missing, and store each at once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", help="NAME or NAME:PROFILE; none: all without a time")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time for each at most")
    parser.add_argument(
        "--long", type=float, default=ONCE, metavar="SECONDS", help="a unit that takes longer is timed once"
    )
    asked = parser.parse_args()
    trainings: dict[str, dict[str, float]] = {}
    stored = json.loads(FILE.read_text(encoding="utf8")) if FILE.exists() else {"costs": {}}
    for line in asked.recipes or untimed(stored):
        name, _, profile = line.partition(":")
        assert find_shipped(name), name
        missing = stored.setdefault("missing", {}).setdefault(name, {})
        missing.pop(profile, None)
        try:
            with processor_time(asked.seconds):
                entry = derive(name, profile, trainings, asked.long)
        except (NasforgeError, TimeoutError, MemoryError) as error:
            missing[profile] = " ".join(str(error).split()) or type(error).__name__
            print(line, "missing:", missing[profile], flush=True)
        else:
            entry["date"] = datetime.now(UTC).date().isoformat()
            stored["costs"].setdefault(name, {})[profile] = entry
            print(line, entry, flush=True)
        stored["machine"] = f"{processor_name()}, torch {torch.__version__}, one thread"
        stored["costs"] = dict(sorted(stored["costs"].items()))
        stored["missing"] = {n: reasons for n, reasons in sorted(stored["missing"].items()) if reasons}
        write_json(FILE, stored)


if __name__ == "__main__":
    main()
