"""Targets of the kill campaign: tiny recipes of every searcher, benches, tables, trainings, workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasforge.plugins import Registry
from nasforge.recipe.toml_text import to_toml

__all__ = ["Task", "contents", "tasks"]

RUN = {"name": "r", "threads": 1, "report": False, "device": "cpu"}
DATA = {
    "use": "synthetic",
    "num_classes": 3,
    "image_size": 16,
    "train_images": 96,
    "test_images": 24,
    "batch_size": 12,
}
SPACE = {
    "use": "nasbench201",
    "channels": 4,
    "cells": 1,
    "search_channels": 4,
    "search_cells": 1,
}
TRAIN = {"use": "train", "epochs": 6, "batch_size": 24}
TABULAR = {"use": "tabular"}
CHEAP = ("random", "evolution", "local-search", "nsga2")
"""Searchers whose step takes so little time that a few steps are hard to hit."""

CONTINUED = {
    **TRAIN,
    "epochs": 4,
    "epoch_batches": 3,
    "score": "loss",
    "budgets": "continue",
    "batch_size": 12,
    "schedule": "constant",
}
VOLATILE = ("seconds", "time", "processes", "done", "workers", "cost")  # a training costs the seconds it took
IGNORED = {
    "environment.json",
    "clock.json",
    "access.jsonl",
    "report.html",
    "forecast.json",
    ".lock",
    "recipe.toml",
}
LEFT_OVER = ("checkpoint", "inputs.json", ".damaged")


@dataclass(frozen=True)
class Task:
    """One thing that is killed.

    Attributes:
        name: In the table.
        command: Words behind ``nasforge``, given the folder that it works in.
        prepare: Writes what the command reads into that folder.
        workers: Whether the command has worker processes, which are killed too.
        resumes: Whether the result is the same every time; a table of latencies is measured anew.
        data: Whether ``NASFORGE_DATA`` lies in the folder.
    """

    name: str
    command: Callable[[Path], list[str]]
    prepare: Callable[[Path], None] = field(default=lambda folder: None)
    workers: bool = False
    resumes: bool = True
    data: bool = False


def tasks(registry: Registry) -> Iterator[Task]:
    """Yield all tasks: each searcher that is installed with its own tiny options, and the rest."""
    for plugin in registry.of("searcher"):
        searcher = {"use": plugin.name, **(plugin.tiny or {})}
        tables: dict[str, Any] = {"run": RUN, "space": SPACE, "searcher": searcher}
        if plugin.name == "fixed":
            tables |= {"data": DATA, "train": TRAIN, "searcher": {"use": "fixed", "arch": "resnet"}}
        elif plugin.name == "spos":
            evaluator = {"use": "supernet", "epochs": 3, "recalibration_images": 24, "batch_size": 12}
            tables |= {"data": DATA, "evaluator": evaluator}
        elif "budgets" in plugin.config.model_fields:  # the tables have one budget alone
            tables |= {"data": DATA, "evaluator": CONTINUED}
        elif plugin.requires("evaluator"):
            many = {"evaluations": 60} if plugin.name in CHEAP else {}
            tables |= {"evaluator": TABULAR, "searcher": {**searcher, **many}}
        else:
            tables |= {"data": DATA}
            if plugin.name == "cdarts":
                tables |= {"distiller": {"use": "stages"}}
        yield _run(f"search: {plugin.name}", tables)
    halving = {"use": "successive-halving", "evaluations": 8, "first": 4, "eta": 2.0, "budgets": (1, 2, 4)}
    continued = {"run": RUN, "data": DATA, "space": SPACE, "searcher": halving, "evaluator": CONTINUED}
    yield _run("training with budgets that continue", continued)
    workers = {"run": {**RUN, "workers": 2}, "searcher": {"use": "random", "evaluations": 60}}
    yield _run("two workers", {**workers, "space": SPACE, "evaluator": TABULAR}, workers=True)
    bench = {"searchers": ("evolution", "local-search"), "seeds": 3, "budget": 20}
    evolution = {"use": "evolution", "population": 5, "tournament": 2}
    tables = {"run": RUN, "space": SPACE, "searcher": evolution, "evaluator": TABULAR, "bench": bench}
    yield _task("bench", tables, lambda out: ["bench", str(out / "r.toml"), "--out", str(out)])
    latency = ("--runs", "2", "--references", "2", "--networks", "2", "--threads", "1")
    yield Task(
        "latency build",
        lambda out: ["latency", "build", str(out / "r.toml"), "--out", str(out / "table.json"), *latency],
        _writer({"run": RUN, "space": SPACE, "searcher": {"use": "random"}, "evaluator": TABULAR}),
        resumes=False,
    )
    yield Task(
        "tables import",
        lambda out: ["tables", "import", str(out / "t.csv"), "--name", "t", "--replace"],
        _write_table,
        data=True,
    )


def contents(folder: Path) -> dict[str, Any]:
    """Return what a command wrote, by path, without times and checkpoints."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name in IGNORED or any(part in path.name for part in LEFT_OVER):
            continue
        if "/slots/" in name or name.startswith(("r.toml", "t.csv")):
            continue
        if path.suffix == ".json":
            found[name] = _steady(json.loads(path.read_text(encoding="utf8")))
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf8").splitlines()
            found[name] = [_steady(json.loads(line)) for line in lines]
        elif path.suffix in (".csv", ".md"):
            continue  # of benches: written from the JSON files, with times
        else:
            found[name] = path.read_bytes()
    return found


def _steady(data: Any) -> Any:
    """Return JSON data without entries that differ from run to run."""
    if isinstance(data, dict):
        return {k: _steady(v) for k, v in data.items() if not any(part in k for part in VOLATILE)}
    return [_steady(item) for item in data] if isinstance(data, list) else data


def _run(name: str, tables: dict[str, Any], *, workers: bool = False) -> Task:
    return _task(name, tables, lambda out: ["run", str(out / "r.toml"), "--out", str(out)], workers)


def _task(
    name: str, tables: dict[str, Any], command: Callable[[Path], list[str]], workers: bool = False
) -> Task:
    return Task(name, command, _writer(tables), workers)


def _writer(tables: dict[str, Any]) -> Callable[[Path], None]:
    lines = []
    for table, options in tables.items():
        lines += [f"[{table}]", *(f"{key} = {to_toml(value)}" for key, value in options.items())]
    text = "\n".join(lines) + "\n"

    def write(folder: Path) -> None:
        (folder / "r.toml").write_text(text, encoding="utf8")

    return write


def _write_table(folder: Path) -> None:
    """Write a CSV file with all architectures and made-up accuracies."""
    from nasforge_plugins.evaluators.tabular.store import load
    from nasforge_plugins.spaces.nasbench201.notation import format_cell, parse_code

    table = load("nasbench201")
    lines = ["index,arch,code,c10_valid_12,c10_test_200,mflops_c10"]
    for index in range(len(table)):
        code = table.key(index)
        cell = format_cell(parse_code(code))
        mflops = (int(table.columns["cifar10/macs"][index]) + 10) / 1e6
        lines.append(f"{index},{cell},{code},{index / 200:.3f},{90 - index / 200:.3f},{mflops:.5f}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf8")
